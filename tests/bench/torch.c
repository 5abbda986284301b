/* torch.c - times reference.py, the reference algorithm in PyTorch, in a process of its own. The
   interpreter is python3, or the one named by the environment variable PYTHON; the script is looked for
   from the root of the repository. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT "tests/bench/reference.py"

enum {
    MAX_COMMAND = 1024,
    MAX_LINE = 256,
    NOT_FOUND = 127 /* status of a shell that does not find the program */
};

/* The loads and then the plan, as they are in memory. Returns the file's name, to be freed. */
static char *write_case(const bench_case *c)
{
    static const char name[] = "/tmp/eplb_bench_XXXXXX";
    size_t num_loads = (size_t)c->shape.num_layers * (size_t)c->shape.num_experts;
    size_t num_slots = (size_t)c->shape.num_layers * (size_t)c->shape.num_replicas;
    char *path = (char *)allocate(sizeof name, 1);
    FILE *f;
    int fd, written;

    memcpy(path, name, sizeof name);
    fd = mkstemp(path);
    f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!f) fail(path, "cannot be written");
    written = fwrite(c->weight, sizeof(float), num_loads, f) == num_loads
              && fwrite(c->plan.phy2log, sizeof(int32_t), num_slots, f) == num_slots;
    if (fclose(f) != 0 || !written) {
        unlink(path);
        fail(path, "cannot be written");
    }
    return path;
}

/* The script says "times" and then the seconds of each repetition, or in one line why there are none. */
static const char *read_times(FILE *from, int reps, bench_times *times)
{
    static char line[MAX_LINE];
    if (!fgets(line, sizeof line, from)) return "the interpreter does not start (PYTHON names another one)";
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "times") != 0) return line;
    for (int rep = 0; rep < reps; rep++) {
        if (fscanf(from, "%lf", &times->seconds[rep]) != 1) return "it broke off";
    }
    finish_times(times, reps);
    return NULL;
}

const char *time_torch(const bench_case *c, int reps, bench_times *times)
{
    const baseline_shape *is = &c->shape;
    const char *python = getenv("PYTHON"), *missing;
    char command[MAX_COMMAND], *path;
    FILE *from;
    int length, status;

    if (access(SCRIPT, R_OK) != 0) return SCRIPT " is not here: run this from the root of the repository";
    path = write_case(c);
    length = snprintf(command, sizeof command, "%s " SCRIPT " %s %d %d %d %d %d %d %d",
                      python && *python ? python : "python3", path, (int)is->num_layers, (int)is->num_experts,
                      (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes, (int)is->num_gpus, reps);
    fflush(stdout);
    from = length < MAX_COMMAND ? popen(command, "r") : NULL;
    if (!from) {
        unlink(path);
        fail("PYTHON", "cannot be run");
    }
    missing = read_times(from, reps, times);
    unlink(path);
    free(path);
    status = pclose(from);
    if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)) fail(SCRIPT, "failed");
    return missing;
}
