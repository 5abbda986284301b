/* device.h - device memory for the tests of the GPU's kernels, on the emulation or on a GPU. Include after
   eplb_cuda.h and test.h. */
#ifndef DEVICE_H
#define DEVICE_H

#ifndef EMULATED_CUDA
static inline void emulated_seed(uint64_t) {}
#endif

enum { GUARD = 64, GUARD_BYTE = 0x5B }; /* what lies before and behind everything the library writes to */

static inline void must(cudaError_t error)
{
    if (error == cudaSuccess) return;
    printf("CUDA: %s\n", cudaGetErrorString(error));
    exit(99);
}

struct device_block { /* bytes in device memory between guards */
    unsigned char *base;
    size_t bytes, before;
};

/* The block starts `offset` bytes behind what cudaMalloc aligns to; its own bytes hold 0xC3. */
static inline device_block device_alloc(size_t bytes, size_t offset)
{
    device_block b = {NULL, bytes, GUARD + offset};
    void *base;
    must(cudaMalloc(&base, b.before + bytes + GUARD));
    b.base = static_cast<unsigned char *>(base);
    must(cudaMemset(b.base, GUARD_BYTE, b.before + bytes + GUARD));
    must(cudaMemset(b.base + b.before, 0xC3, bytes));
    return b;
}

static inline void *device_at(const device_block &b) { return b.base + b.before; }

static inline int32_t *device_ints(const device_block &b) { return static_cast<int32_t *>(device_at(b)); }

static inline device_block device_copy(const void *from, size_t bytes)
{
    device_block b = device_alloc(bytes, 0);
    must(cudaMemcpy(device_at(b), from, bytes, cudaMemcpyHostToDevice));
    return b;
}

static inline void device_fetch(void *to, const device_block &b)
{
    must(cudaMemcpy(to, device_at(b), b.bytes, cudaMemcpyDeviceToHost));
}

static inline void device_set(const device_block &b, const void *from)
{
    must(cudaMemcpy(device_at(b), from, b.bytes, cudaMemcpyHostToDevice));
}

/* Frees the block; whether its guards are whole. */
static inline bool device_free(const device_block &b)
{
    size_t all = b.before + b.bytes + GUARD;
    unsigned char *copy = static_cast<unsigned char *>(test_alloc(all));
    bool whole = true;
    must(cudaMemcpy(copy, b.base, all, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < all; i++)
        if ((i < b.before || i >= b.before + b.bytes) && copy[i] != GUARD_BYTE) whole = false;
    free(copy);
    must(cudaFree(b.base));
    return whole;
}

#endif
