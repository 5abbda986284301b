/* source.c - files, of which every byte can be gone to: a buffer of fixed size over a part of a file. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SOURCE_BYTES = 1 << 16, SOURCE_FEW = 1 << 12 }; /* of the buffer, and of it after going elsewhere */

/* What the system says is wrong. */
static const char *source_error(void) { return strerror(errno ? errno : EIO); }

source source_of(const char *name, FILE *file, uint64_t begin, uint64_t size)
{
    source s = {name, file, begin, size, 0, NULL, 0, 0, SOURCE_BYTES};
    s.buffer = (char *)allocate(SOURCE_BYTES, 1);
    setvbuf(file, NULL, _IONBF, 0);
    return s;
}

FILE *source_temporary(const char *name)
{
    FILE *file = tmpfile();
    if (!file) fail(STATUS_OUTPUT, "%s: no temporary file to hold it: %s", name, strerror(errno));
    return file;
}

/* The rest of a file that may be a pipe, from a temporary file that it is copied to. */
static source source_copy(const char *name, FILE *from)
{
    char *block = (char *)allocate(SOURCE_BYTES, 1);
    FILE *copy = source_temporary(name);
    uint64_t size = 0;
    for (size_t bytes; !feof(from); size += bytes) {
        bytes = fread(block, 1, SOURCE_BYTES, from);
        if (ferror(from)) fail(STATUS_INPUT, "%s: %s", name, source_error());
        if (fwrite(block, 1, bytes, copy) != bytes) fail(STATUS_OUTPUT, "%s: %s", name, source_error());
    }
    if (fflush(copy) != 0) fail(STATUS_OUTPUT, "%s: %s", name, source_error());
    free(block);
    return source_of(name, copy, 0, size);
}

source source_open(const char *path)
{
    struct stat about;
    if (strcmp(path, "-") == 0) return source_copy("<stdin>", stdin);
    FILE *file = fopen(path, "rb");
    if (!file) fail(STATUS_INPUT, "%s: %s", path, source_error());
    if (fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0)
        return source_of(path, file, 0, (uint64_t)about.st_size);
    source copy = source_copy(path, file);
    fclose(file);
    return copy;
}

void source_close(source *s)
{
    free(s->buffer);
    fclose(s->file);
}

void source_seek(source *s, uint64_t place)
{
    if (place <= s->after && place >= s->after - s->filled) {
        s->next = s->filled - (size_t)(s->after - place);
        return;
    }
    s->after = place;
    s->next = s->filled = 0;
    s->ahead = SOURCE_FEW;
}

uint64_t source_at(const source *s) { return s->after - (s->filled - s->next); }

/* The file may have been read from by another source, so each time its position is set. */
bool source_fill(source *s)
{
    if (s->after >= s->size) return false;
    uint64_t left = s->size - s->after;
    size_t bytes = left < s->ahead ? (size_t)left : s->ahead;
    s->ahead = s->ahead < SOURCE_BYTES ? s->ahead * 2 : SOURCE_BYTES;
    errno = 0;
    if (fseeko(s->file, (off_t)(s->begin + s->after), SEEK_SET) != 0)
        fail(STATUS_INPUT, "%s: %s", s->name, source_error());
    s->next = 0;
    s->filled = fread(s->buffer, 1, bytes, s->file);
    s->after += s->filled;
    if (ferror(s->file)) fail(STATUS_INPUT, "%s: %s", s->name, source_error());
    if (s->filled < bytes) fail(STATUS_INPUT, "%s: the file became shorter while it was read", s->name);
    return true;
}

size_t source_read(source *s, void *to, size_t bytes)
{
    size_t done = 0;
    while (done < bytes && (s->next < s->filled || source_fill(s))) {
        size_t here = s->filled - s->next;
        here = here < bytes - done ? here : bytes - done;
        memcpy((char *)to + done, s->buffer + s->next, here);
        s->next += here;
        done += here;
    }
    return done;
}

whole_file source_whole(source *s)
{
    whole_file all = {s->name, NULL, 0};
    size_t room = 0;
    do {
        while (room - all.size < 2) /* room for a byte and the 0 at least */
            all.bytes = (char *)grow(all.bytes, &room, 1);
        all.size += source_read(s, all.bytes + all.size, room - all.size - 1);
    } while (source_peek(s) >= 0);
    all.bytes[all.size] = '\0';
    return all;
}
