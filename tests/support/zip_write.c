/* zip_write.c - makes zip files for the tests of the command line program: files in, a zip on standard output.

   zip_write [-d] [-6] [-c CRC] [-s SIZE] [-m METHOD] [-e] NAME FILE ..

   Members are stored, or with -d deflated, in blocks that keep their bytes; -6 gives sizes and places in 64
   bits, as numpy.savez does. Wrong files are wanted too: -c is added to every CRC, -s to every size after
   inflating; -m is the number of a method, -e says that members are encrypted. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 26, MAX_MEMBERS = 64, MAX_STORED = 65535 };

typedef struct member {
    const char *name;
    size_t size, packed, place;
    uint32_t crc;
} member;

static unsigned char content[MAX_BYTES];
static member members[MAX_MEMBERS];
static size_t written;
static int deflate, wide, method, flags;

static void put(uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) putchar(i < 8 ? (int)(value >> 8 * i & 255) : 0);
    written += (size_t)bytes;
}

static void put_bytes(const void *bytes, size_t count)
{
    fwrite(bytes, 1, count, stdout);
    written += count;
}

static uint32_t crc_of(const unsigned char *bytes, size_t count)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
    return ~crc;
}

static size_t blocks_of(size_t size) { return size ? (size + MAX_STORED - 1) / MAX_STORED : 1; }

/* Blocks of type 0: whether it is the last one, its length, that inverted, its bytes. */
static void put_deflated(size_t size)
{
    for (size_t i = 0; i < blocks_of(size); i++) {
        size_t bytes = size - i * MAX_STORED < MAX_STORED ? size - i * MAX_STORED : MAX_STORED;
        put(i + 1 == blocks_of(size), 1);
        put(bytes, 2);
        put(~bytes & 0xFFFF, 2);
        put_bytes(content + i * MAX_STORED, bytes);
    }
}

/* What stands before a member, and once more in the directory. */
static void put_head(const member *m, int directory)
{
    put(directory ? 0x02014B50 : 0x04034B50, 4);
    put(45, directory ? 2 : 0);
    put(45, 2);
    put((uint64_t)flags, 2);
    put((uint64_t)method, 2);
    put(0x21 << 16, 4); /* the time and the first day there is */
    put(m->crc, 4);
    put(wide ? 0xFFFFFFFF : m->packed, 4);
    put(wide ? 0xFFFFFFFF : m->size, 4);
    put(strlen(m->name), 2);
    put(wide ? (directory ? 28 : 20) : 0, 2);
    if (directory) {
        put(0, 10); /* neither a comment nor attributes */
        put(wide ? 0xFFFFFFFF : m->place, 4);
    }
    put_bytes(m->name, strlen(m->name));
    if (wide) {
        put(1, 2);
        put(directory ? 24 : 16, 2);
        put(m->size, 8);
        put(m->packed, 8);
        put(m->place, directory ? 8 : 0);
    }
}

static void put_end(int count, size_t place)
{
    size_t size = written - place, end = written;
    if (wide) {
        put(0x06064B50, 4);
        put(44, 8);
        put(45 << 16 | 45, 4);
        put(0, 8);
        put((uint64_t)count, 8);
        put((uint64_t)count, 8);
        put(size, 8);
        put(place, 8);
        put(0x07064B50, 4);
        put(0, 4);
        put(end, 8);
        put(1, 4);
    }
    put(0x06054B50, 4);
    put(0, 4);
    put((uint64_t)count, 2);
    put((uint64_t)count, 2);
    put(size, 4);
    put(wide ? 0xFFFFFFFF : place, 4);
    put(0, 2);
}

int main(int argc, char **argv)
{
    uint32_t crc_added = 0;
    size_t size_added = 0;
    int count = 0, i = 1;
    for (method = -1; i < argc && argv[i][0] == '-'; i++) {
        char option = argv[i][1];
        deflate |= option == 'd';
        wide |= option == '6';
        flags |= option == 'e';
        if (option == 'c') crc_added = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (option == 's') size_added = (size_t)strtol(argv[++i], NULL, 10);
        else if (option == 'm') method = atoi(argv[++i]);
    }
    method = method >= 0 ? method : deflate ? 8 : 0;
    for (; i + 1 < argc && count < MAX_MEMBERS; i += 2) {
        member *m = &members[count++];
        FILE *file = fopen(argv[i + 1], "rb");
        if (!file) return 2;
        size_t bytes = fread(content, 1, MAX_BYTES, file);
        fclose(file);
        m->name = argv[i];
        m->size = bytes + size_added;
        m->packed = deflate ? bytes + 5 * blocks_of(bytes) : bytes;
        m->place = written;
        m->crc = crc_of(content, bytes) + crc_added;
        put_head(m, 0);
        if (deflate) put_deflated(bytes);
        else put_bytes(content, bytes);
    }
    size_t directory = written;
    for (int k = 0; k < count; k++) put_head(&members[k], 1);
    put_end(count, directory);
    return fflush(stdout) != 0;
}
