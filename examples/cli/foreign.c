/* foreign.c - files that are known by their first bytes, but not read: what they are, and what makes of them
   one that is read. Loads come out of PyTorch, HDF5 or data frames in their own formats, most of which need
   their own library, and some run any program when they are read. */
#include "cli.h"

#include <string.h>

enum { FOREIGN_BYTES = 512, FOREIGN_NAME = 128 }; /* looked at; of a file's name in a command */

typedef struct foreign_start {
    const char *bytes;
    size_t count, at; /* of these bytes, and where they stand */
    const char *what;
    const char *before, *after; /* the command that converts it, around the file's name */
} foreign_start;

#define PYTHON(text) "python3 -c \"" text
#define FROM_TORCH                                                                                           \
    PYTHON("import torch, numpy; x = torch.load('"),                                                         \
        "', map_location='cpu'); x = x if isinstance(x, dict) "                                              \
        "else {'loads': torch.stack(x) if isinstance(x, list) else x}; numpy.savez('loads.npz', **{str(k): " \
        "v.detach().double().numpy() for k, v in x.items() if torch.is_tensor(v)})\" writes loads.npz"
#define FROM_PICKLE                                                                           \
    PYTHON("import pickle, numpy; numpy.save('loads.npy', numpy.asarray(pickle.load(open('"), \
        "', "                                                                                 \
        "'rb'))))\" writes loads.npy, if it is one of yours: a pickle may run any program"
#define FROM_FRAME(read) \
    PYTHON("import pandas; pandas." read "('"), "').to_csv('loads.csv', index=False)\" writes loads.csv"
#define START(bytes, at) bytes, sizeof(bytes) - 1, at

/* clang-format off */
static const foreign_start FOREIGN[] = {
    {START("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 0), "a file of torch.save", FROM_TORCH},
    {START("ustar", 257), "a tar archive, such as early versions of torch.save wrote", FROM_TORCH},
    {START("\x89HDF\r\n\x1a\n", 0), "an HDF5 file",
     PYTHON("import h5py, numpy; d = {}; h5py.File('"), "').visititems(lambda k, v: d.update({k: v[()]} if "
     "isinstance(v, h5py.Dataset) else {})); numpy.savez('loads.npz', **d)\" writes loads.npz"},
    {START("PAR1\x15", 0), "a Parquet file", FROM_FRAME("read_parquet")},
    {START("ARROW1", 0), "an Arrow or Feather file", FROM_FRAME("read_feather")},
    {START("FEA1\0", 0), "a Feather file", FROM_FRAME("read_feather")},
    {START("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0), "an Excel file",
     PYTHON("import pandas; pandas.read_excel('"),
     "', header=None).to_csv('loads.csv', header=False, index=False)\" writes loads.csv"},
    {START("\x1f\x8b", 0), "a file packed by gzip", "gzip -dc '", "' | eplb plan - reads it"},
    {START("\x28\xb5\x2f\xfd", 0), "a file packed by zstd", "zstd -dc '", "' | eplb plan - reads it"},
    {START("\xfd" "7zXZ\0", 0), "a file packed by xz", "xz -dc '", "' | eplb plan - reads it"},
    {START("1AY&SY", 4), "a file packed by bzip2", "bzip2 -dc '", "' | eplb plan - reads it"},
    {START("SQLite format 3\0", 0), "an SQLite database", "sqlite3 -header -csv '",
     "' 'select step, layer, expert, count from loads' writes CSV, with the names of your table"},
    {START("\xff\xfe", 0), "text in UTF-16", "iconv -f UTF-16 -t UTF-8 '", "' | eplb plan - reads it"},
    {START("\xfe\xff", 0), "text in UTF-16", "iconv -f UTF-16 -t UTF-8 '", "' | eplb plan - reads it"},
};
/* clang-format on */

static const foreign_start FOREIGN_PICKLE = {NULL, 0, 0, "a Python pickle", FROM_PICKLE};
static const foreign_start FOREIGN_SAFETENSORS = {
    NULL,
    0,
    0,
    "a safetensors file",
    PYTHON("import numpy; from safetensors.numpy import load_file; numpy.savez('loads.npz', **load_file('"),
    "'))\" writes loads.npz"};
static const foreign_start FOREIGN_TORCH = {NULL, 0, 0, "a file of torch.save", FROM_TORCH};
static const foreign_start FOREIGN_EXCEL = {
    NULL,
    0,
    0,
    "an Excel file",
    PYTHON("import pandas; pandas.read_excel('"),
    "', header=None).to_csv('loads.csv', header=False, index=False)\" writes loads.csv"};

/* Whether a file's name can stand between quotes in a command. */
static bool foreign_can_quote(const char *name)
{
    static const char OTHERS[] = "_./-+=,@%:~ ";
    size_t n = 0;
    for (; name[n]; n++) {
        char c = name[n];
        if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !strchr(OTHERS, c)) return false;
    }
    return n < FOREIGN_NAME;
}

static void foreign_fail(const source *from, const foreign_start *is)
{
    fail(STATUS_INPUT, "%s is %s, which is not read: %s%s%s", from->name, is->what, is->before,
         foreign_can_quote(from->name) ? from->name : "FILE", is->after);
}

/* Protocols from 2 on start with their number; before, with what numpy or a list writes. */
static bool foreign_is_pickle(const unsigned char *start, size_t n)
{
    static const char *const OLD[] = {"cnumpy", "ccopy_reg", "(lp", "(dp", "cpandas"};
    if (n >= 2 && start[0] == 0x80 && start[1] >= 2 && start[1] <= 5) return true;
    for (size_t i = 0; i < sizeof OLD / sizeof *OLD; i++) {
        if (n >= strlen(OLD[i]) && memcmp(start, OLD[i], strlen(OLD[i])) == 0) return true;
    }
    return false;
}

/* The length of a header in JSON, and the header. */
static bool foreign_is_safetensors(const unsigned char *start, size_t n, uint64_t size)
{
    uint64_t length = 0;
    for (int i = 8; n > 8 && i-- > 0;) length = length << 8 | start[i];
    return n > 8 && length > 1 && length <= size - 8 && start[8] == '{';
}

void foreign_refuse(source *from)
{
    unsigned char start[FOREIGN_BYTES];
    source_seek(from, 0);
    size_t n = source_read(from, start, sizeof start);
    source_seek(from, 0);
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++) {
        const foreign_start *f = &FOREIGN[i];
        if (n >= f->at + f->count && memcmp(start + f->at, f->bytes, f->count) == 0) foreign_fail(from, f);
    }
    if (foreign_is_pickle(start, n)) foreign_fail(from, &FOREIGN_PICKLE);
    if (foreign_is_safetensors(start, n, from->size)) foreign_fail(from, &FOREIGN_SAFETENSORS);
}

void foreign_refuse_member(const source *from, const char *member)
{
    size_t n = strlen(member);
    if (n >= 8 && strcmp(member + n - 8, "data.pkl") == 0) foreign_fail(from, &FOREIGN_TORCH);
    if (strncmp(member, "xl/", 3) == 0) foreign_fail(from, &FOREIGN_EXCEL);
}
