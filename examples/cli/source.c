/* source.c - files of loads: a file's bytes as a whole, the reader that they go to, and a piece of them for
   a message. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static source read_source(const char *path)
{
    bool   from_stdin = strcmp(path, "-") == 0;
    source s          = {from_stdin ? "<stdin>" : path, NULL, 0};
    size_t room       = 0;
    FILE  *file       = from_stdin ? stdin : fopen(path, "rb");
    if (!file)
        fail(STATUS_INPUT, "%s: %s", s.name, strerror(errno));
    do {
        if (room - s.size < 2) /* room for a byte and the 0 at least */
            s.bytes = (char *)grow(s.bytes, &room, 1);
        s.size += fread(s.bytes + s.size, 1, room - s.size - 1, file);
        if (ferror(file))
            fail(STATUS_INPUT, "%s: %s", s.name, strerror(errno));
    } while (!feof(file));
    s.bytes[s.size] = '\0';
    if (!from_stdin)
        fclose(file);
    return s;
}

/* Begin .. end for a message: at most QUOTE_BYTES of it, nothing unprintable. */
quote quoted(const char *begin, const char *end)
{
    quote  q;
    size_t n = (size_t)(end - begin), kept = n < QUOTE_BYTES ? n : QUOTE_BYTES;
    for (size_t i = 0; i < kept; i++)
        q.text[i] = begin[i] >= ' ' && begin[i] <= '~' ? begin[i] : '?';
    memcpy(q.text + kept, n > kept ? "..." : "", n > kept ? 4 : 1);
    return q;
}

/* The format is told by the first byte, so that a file may come from standard input and under any name:
   no text starts with that of .npy, and no CSV with a bracket after white space. */
loads parse_loads(const source *from)
{
    const char *first = text_begin(from);
    while (is_space(*first))
        first++;
    if (npy_begins(from))
        return read_npy(from);
    return *first == '[' || *first == '{' ? read_json(from) : read_csv(from);
}

loads read_loads(const char *path)
{
    source from  = read_source(path);
    loads  table = parse_loads(&from);
    free(from.bytes);
    return table;
}

void free_loads(loads *table)
{
    free(table->weight);
    free(table->step);
}
