# freestanding
