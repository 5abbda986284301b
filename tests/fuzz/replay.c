/* replay.c - calls a fuzz target with the files of its corpus: what was once found stays found. One
   input a file, a folder of them for each target.

   usage: TARGET [FILE or FOLDER].., by default tests/fuzz/corpus and the target's name without fuzz_ */
#define _XOPEN_SOURCE 700
#include <dirent.h>

#include "eplb.h"
#include "test.h"
#include "fuzz.h"

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL, "cannot open %s", path);
    if (!file) return;
    size_t room = 1 << 20, size;
    uint8_t *data = (uint8_t *)test_alloc(room);
    size = fread(data, 1, room, file);
    fclose(file);
    uint8_t *exact = (uint8_t *)test_alloc(size); /* so that a read behind the end can be seen */
    memcpy(exact, data, size);
    free(data);
    CHECK(LLVMFuzzerTestOneInput(exact, size) == 0, "%s", path);
    free(exact);
}

static void replay(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char file[1024];
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        replay_file(file);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    char corpus[256];
    if (strncmp(name, "fuzz_", 5) == 0) snprintf(corpus, sizeof corpus, "tests/fuzz/corpus/%s", name + 5);
    else snprintf(corpus, sizeof corpus, "tests/fuzz/corpus");
    if (argc == 1) replay(corpus);
    for (int i = 1; i < argc; i++) replay(argv[i]);
    return test_report(name);
}
