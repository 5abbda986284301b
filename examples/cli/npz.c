/* npz.c - arrays of NumPy in a zip file, as numpy.savez and savez_compressed write them: the directory at its
   end is looked through for one with the name asked for, whose bytes are checked by their CRC. A stored one is
   read where it stands, a deflated one is first inflated into a temporary file, by zlib. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef EPLB_CLI_ZLIB
#include <zlib.h>
#endif

enum {
    ZIP_END = 22, /* bytes of the record at the end, which a comment of up to 65535 may follow */
    ZIP_END_ALL = 22 + 65535,
    ZIP64_LOCATOR = 20,
    ZIP64_END = 56,
    ZIP_ENTRY = 46, /* of an entry of the directory, without its name */
    ZIP_LOCAL = 30, /* of what stands before a member's bytes, without its name */
    ZIP_NAME = 256,
    ZIP_LIST = 256, /* of names in a message */
    ZIP_BLOCK = 1 << 14,
    ZIP_STORED = 0,
    ZIP_DEFLATED = 8,
    ZIP_ENCRYPTED = 1,    /* a flag */
    ZIP_MOST_RATIO = 1032 /* of inflated to deflated bytes */
};

typedef struct zip_member {
    char name[ZIP_NAME];
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, size, place; /* bytes as they are in the file, and inflated; where it begins */
} zip_member;

typedef struct zip_directory {
    uint64_t place, end;
} zip_directory;

/* Ends the program for a member, or for the whole file. */
static void zip_fail(const source *s, const zip_member *m, const char *format, ...) ENDS_PROGRAM(3, 4);
static void zip_fail(const source *s, const zip_member *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s: ", s->name);
    if (m) fprintf(stderr, "%s ", quoted(m->name, m->name + strlen(m->name)).text);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

static uint64_t zip_number(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

/* Whether there are so many bytes at a place, which are read. */
static bool zip_read(source *s, uint64_t place, void *to, size_t bytes)
{
    if (place > s->size || s->size - place < bytes) return false;
    source_seek(s, place);
    return source_read(s, to, bytes) == bytes;
}

bool npz_begins(source *from)
{
    unsigned char start[4] = {0};
    bool zip = zip_read(from, 0, start, sizeof start) && memcmp(start, "PK", 2) == 0
               && (memcmp(start + 2, "\3\4", 2) == 0 || memcmp(start + 2, "\5\6", 2) == 0);
    source_seek(from, 0);
    return zip;
}

/* --------------------------------------------------------------------------------- directory */

/* Where the record at the end stands: the last one whose comment ends with the file. */
static uint64_t zip_find_end(source *s, unsigned char record[ZIP_END])
{
    uint64_t last = s->size < ZIP_END ? 0 : s->size - ZIP_END;
    for (uint64_t back = 0; s->size >= ZIP_END && back <= last && back <= ZIP_END_ALL - ZIP_END; back++) {
        if (zip_read(s, last - back, record, ZIP_END) && memcmp(record, "PK\5\6", 4) == 0
            && zip_number(record + 20, 2) == back)
            return last - back;
    }
    zip_fail(s, NULL, "a zip file without its directory: it was cut short, or is still being written");
}

static zip_directory zip_find_directory(source *s)
{
    unsigned char end[ZIP_END], locator[ZIP64_LOCATOR], end64[ZIP64_END];
    uint64_t place = zip_find_end(s, end);
    uint64_t size = zip_number(end + 12, 4);
    zip_directory d = {zip_number(end + 16, 4), 0};
    if (place >= ZIP64_LOCATOR && zip_read(s, place - ZIP64_LOCATOR, locator, sizeof locator)
        && memcmp(locator, "PK\6\7", 4) == 0) {
        if (!zip_read(s, zip_number(locator + 8, 8), end64, sizeof end64) || memcmp(end64, "PK\6\6", 4) != 0)
            zip_fail(s, NULL, "a damaged zip file: its end of 64 bits is not where it should be");
        size = zip_number(end64 + 40, 8);
        d.place = zip_number(end64 + 48, 8);
    }
    if (d.place > place || size > place - d.place)
        zip_fail(s, NULL, "a damaged zip file: its directory is not where it should be");
    d.end = d.place + size;
    return d;
}

/* Sizes and a place that need 64 bits stand in an extra field, in this order, where there was no room. */
static void zip_read_extra(source *s, uint64_t place, size_t bytes, zip_member *m)
{
    uint64_t *value[3] = {&m->size, &m->packed, &m->place};
    unsigned char head[4], number[8];
    while (bytes >= sizeof head && zip_read(s, place, head, sizeof head)) {
        size_t length = (size_t)zip_number(head + 2, 2);
        place += sizeof head;
        bytes -= sizeof head;
        length = length < bytes ? length : bytes;
        for (size_t i = 0, at = 0; i < 3 && zip_number(head, 2) == 1; i++) {
            if (*value[i] != UINT32_MAX || length - at < sizeof number) continue;
            if (zip_read(s, place + at, number, sizeof number)) *value[i] = zip_number(number, 8);
            at += sizeof number;
        }
        place += length;
        bytes -= length;
    }
}

/* The entry of the directory at d->place, which becomes that of the next; false at the end. */
static bool zip_next(source *s, zip_directory *d, zip_member *m)
{
    unsigned char entry[ZIP_ENTRY];
    if (d->place == d->end) return false;
    if (!zip_read(s, d->place, entry, sizeof entry) || memcmp(entry, "PK\1\2", 4) != 0)
        zip_fail(s, NULL, "a damaged zip file: its directory has an entry that is none");
    size_t name = (size_t)zip_number(entry + 28, 2), extra = (size_t)zip_number(entry + 30, 2);
    size_t bytes = ZIP_ENTRY + name + extra + (size_t)zip_number(entry + 32, 2);
    size_t kept = name < ZIP_NAME - 1 ? name : ZIP_NAME - 1;
    memset(m, 0, sizeof *m);
    m->flags = (unsigned)zip_number(entry + 8, 2);
    m->method = (unsigned)zip_number(entry + 10, 2);
    m->crc = (uint32_t)zip_number(entry + 16, 4);
    m->packed = zip_number(entry + 20, 4);
    m->size = zip_number(entry + 24, 4);
    m->place = zip_number(entry + 42, 4);
    if (bytes > d->end - d->place || !zip_read(s, d->place + ZIP_ENTRY, m->name, kept))
        zip_fail(s, NULL, "a damaged zip file: its directory ends within an entry");
    zip_read_extra(s, d->place + ZIP_ENTRY + name, extra, m);
    d->place += bytes;
    return true;
}

/* Goes from the entry of a member to its bytes. */
static void zip_find_bytes(source *s, zip_member *m)
{
    unsigned char local[ZIP_LOCAL];
    if (!zip_read(s, m->place, local, sizeof local) || memcmp(local, "PK\3\4", 4) != 0)
        zip_fail(s, m, "is not where the directory of the zip file says");
    m->place += ZIP_LOCAL + zip_number(local + 26, 2) + zip_number(local + 28, 2);
    if (m->place > s->size || m->packed > s->size - m->place) zip_fail(s, m, "goes on after the end of the zip file");
}

/* --------------------------------------------------------------------------------------- bytes */

typedef struct crc_table {
    uint32_t of[256]; /* bytes */
} crc_table;

static crc_table make_crc_table(void)
{
    static const uint32_t POLYNOMIAL = 0xEDB88320; /* of zip files, lowest bit first */
    crc_table table;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table.of[i] = crc;
    }
    return table;
}

static uint32_t crc_of(const crc_table *table, uint32_t crc, const unsigned char *bytes, size_t count)
{
    crc = ~crc;
    for (size_t i = 0; i < count; i++) crc = crc >> 8 ^ table->of[(crc ^ bytes[i]) & 255];
    return ~crc;
}

/* A stored member as a part of the file. */
static source zip_stored(source *s, const zip_member *m)
{
    unsigned char block[ZIP_BLOCK];
    crc_table table = make_crc_table();
    uint32_t crc = 0;
    if (m->packed != m->size) zip_fail(s, m, "has two sizes, which a stored file cannot have");
    source_seek(s, m->place);
    for (uint64_t done = 0; done < m->size;) {
        size_t bytes = m->size - done < sizeof block ? (size_t)(m->size - done) : sizeof block;
        bytes = source_read(s, block, bytes);
        crc = crc_of(&table, crc, block, bytes);
        done += bytes;
        progress_show("checking byte", (size_t)done, (size_t)m->size);
        if (bytes == 0) zip_fail(s, m, "ends too early");
    }
    if (crc != m->crc) zip_fail(s, m, "is damaged: its bytes have not the CRC that they should have");
    source part = source_of(s->name, s->file, s->begin + m->place, m->size);
    free(s->buffer);
    return part;
}

#ifdef EPLB_CLI_ZLIB
/* Memory of zlib's, which ends the program when there is none. */
static voidpf zip_allocate(voidpf none, uInt count, uInt bytes)
{
    (void)none;
    return allocate(count, bytes);
}

static void zip_free(voidpf none, voidpf block)
{
    (void)none;
    free(block);
}

/* Inflates a member into a file; it must have the size that the directory says. */
static void zip_inflate_to(source *s, const zip_member *m, FILE *to)
{
    unsigned char in[ZIP_BLOCK], out[ZIP_BLOCK];
    crc_table table = make_crc_table();
    uint64_t packed = m->packed, done = 0;
    uint32_t crc = 0;
    int result = Z_OK;
    z_stream z;
    memset(&z, 0, sizeof z);
    z.zalloc = zip_allocate;
    z.zfree = zip_free;
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) zip_fail(s, m, "cannot be inflated: zlib does not start");
    source_seek(s, m->place);
    while (result != Z_STREAM_END) {
        if (z.avail_in == 0) {
            z.next_in = in;
            z.avail_in = (uInt)source_read(s, in, packed < sizeof in ? (size_t)packed : sizeof in);
            packed -= z.avail_in;
        }
        z.next_out = out;
        z.avail_out = sizeof out;
        result = inflate(&z, Z_NO_FLUSH);
        size_t bytes = sizeof out - z.avail_out;
        crc = crc_of(&table, crc, out, bytes);
        done += bytes;
        if ((result != Z_OK && result != Z_STREAM_END) || done > m->size)
            zip_fail(s, m, "%s",
                     done > m->size ? "inflates to more bytes than the zip file says"
                                    : "is damaged: it cannot be inflated");
        if (fwrite(out, 1, bytes, to) != bytes)
            fail(STATUS_OUTPUT, "%s: no room to inflate it: %s", s->name, strerror(errno));
        progress_show("inflating byte", (size_t)done, (size_t)m->size);
    }
    (void)inflateEnd(&z);
    if (done != m->size || packed + z.avail_in > 0) zip_fail(s, m, "inflates to fewer bytes than the zip file says");
    if (crc != m->crc) zip_fail(s, m, "is damaged: its bytes have not the CRC that they should have");
    if (fflush(to) != 0) fail(STATUS_OUTPUT, "%s: no room to inflate it: %s", s->name, strerror(errno));
}
#else
static void zip_inflate_to(source *s, const zip_member *m, FILE *to)
{
    (void)to;
    zip_fail(s, m,
             "is deflated, and this program was built without zlib; numpy.savez instead of "
             "savez_compressed writes what it reads");
}
#endif

/* A deflated member in a temporary file. */
static source zip_inflated(source *s, const zip_member *m)
{
    if (m->size / ZIP_MOST_RATIO > m->packed) zip_fail(s, m, "inflates to fewer bytes than the zip file says");
    FILE *copy = source_temporary(s->name);
    zip_inflate_to(s, m, copy);
    source whole = source_of(s->name, copy, 0, m->size);
    source_close(s);
    return whole;
}

/* ------------------------------------------------------------------------------------- arrays */

/* The length of a name without .npy; 0: it has no such end. */
static size_t npz_name_length(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".npy") == 0 ? n - 4 : 0;
}

static bool npz_is_called(const zip_member *m, const char *key)
{
    size_t n = npz_name_length(m->name);
    return strcmp(m->name, key) == 0 || (strlen(key) == n && memcmp(m->name, key, n) == 0);
}

/* Adds a name to the list of a message. */
static void npz_add_name(char list[ZIP_LIST], const zip_member *m)
{
    size_t used = strlen(list);
    quote name = quoted(m->name, m->name + npz_name_length(m->name));
    if (used + sizeof name.text + 8 < ZIP_LIST)
        snprintf(list + used, ZIP_LIST - used, "%s%s", used ? ", " : "", name.text);
    else if (strcmp(list + used - 3, "...") != 0) snprintf(list + used, ZIP_LIST - used, ", ...");
}

/* The array that the key names, or the only one. */
static zip_member npz_find(source *s, const char *key)
{
    zip_directory d = zip_find_directory(s), begin = d;
    zip_member m, found;
    char list[ZIP_LIST] = "";
    size_t arrays = 0, named = 0;
    memset(&found, 0, sizeof found);
    while (zip_next(s, &d, &m)) {
        if (!npz_name_length(m.name)) continue;
        arrays++;
        npz_add_name(list, &m);
        if (!key || npz_is_called(&m, key)) {
            found = m;
            named++;
        }
    }
    for (d = begin; arrays == 0 && zip_next(s, &d, &m);) foreign_refuse_member(s, m.name);
    if (arrays == 0) zip_fail(s, NULL, "a zip file without an array of NumPy, a .npy, in it");
    if (named == 0)
        zip_fail(s, NULL, "no array called '%s'; --key should name one of %s", quoted(key, key + strlen(key)).text,
                 list);
    if (named > 1) zip_fail(s, NULL, "several arrays: --key should name one of %s", list);
    return found;
}

reader *npz_open(source from, const reading *how)
{
    zip_member m = npz_find(&from, how->key);
    if (m.flags & ZIP_ENCRYPTED) zip_fail(&from, &m, "is encrypted");
    if (m.method != ZIP_STORED && m.method != ZIP_DEFLATED)
        zip_fail(&from, &m, "is packed in a way that NumPy does not; numpy.savez writes what is read");
    zip_find_bytes(&from, &m);
    source array = m.method == ZIP_STORED ? zip_stored(&from, &m) : zip_inflated(&from, &m);
    return npy_open_member(array, m.name, how);
}
