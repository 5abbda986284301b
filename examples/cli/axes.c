/* axes.c - what the dimensions of an array stand for, by --axes or by how many there are. */
#include "cli.h"

#include <string.h>

/* What is wrong with the letters of --axes, or NULL. */
static const char *axes_wrong(const char *letters)
{
    static const char KNOWN[] = "TLEGSPKN";
    int widths = 0;
    for (const char *c = letters; *c; c++) {
        if (!strchr(KNOWN, *c)) return "the letters are T, L, E, G, S, P, K and N";
        if (strchr(c + 1, *c)) return "each letter may stand there once";
        widths += strchr("EPSK", *c) != NULL;
    }
    bool has_gpu = strchr(letters, 'G') != NULL;
    if (widths != 1) return "one of E, P, S and K must be there";
    if (strchr(letters, 'S') && !has_gpu) return "S, slots of a GPU, needs G beside it";
    if (strchr(letters, 'P') && has_gpu) return "P has the slots of all GPUs, so that G cannot stand beside it";
    if (strchr(letters, 'N') && !strchr(letters, 'K')) return "N, tokens, needs K beside it";
    return NULL;
}

int axes_wanted(const reading *how)
{
    if (!how->axes) return 0;
    const char *wrong = axes_wrong(how->axes);
    if (wrong) fail(STATUS_INPUT, "--axes %s: %s", quoted(how->axes, how->axes + strlen(how->axes)).text, wrong);
    return (int)strlen(how->axes);
}

/* Elements along the dimension of a letter; 1 where it is missing. */
static int64_t axes_along(const axes *a, char letter)
{
    for (int d = 0; d < a->num_dims; d++) {
        if (a->letter[d] == letter) return a->dim[d];
    }
    return 1;
}

static bool axes_has(const axes *a, char letter) { return memchr(a->letter, letter, (size_t)a->num_dims) != NULL; }

/* How much further a place is for the next element along a dimension. */
static size_t axes_stride(const axes *a, char letter)
{
    switch (letter) {
    case 'L': return (size_t)a->width;
    case 'E':
    case 'P':
    case 'S': return 1;
    case 'G': return axes_has(a, 'S') ? (size_t)axes_along(a, 'S') : 0;
    default: return 0;
    }
}

void axes_set_width(axes *a, int32_t num_experts)
{
    a->width = num_experts;
    for (int d = 0; d < a->num_dims; d++) a->stride[d] = axes_stride(a, a->letter[d]);
}

/* Whether all dimensions that vary slower than T have one element. */
static bool axes_in_order(const axes *a)
{
    for (int i = 0; i < a->num_dims; i++) {
        int d = a->fortran ? a->num_dims - 1 - i : i;
        if (d == a->sample_axis) return true;
        if (a->sample_axis >= 0 && a->dim[d] > 1) return false;
    }
    return true;
}

axes axes_of(const char *name, const reading *how, const int64_t *dim, int num_dims, bool fortran)
{
    static const char *const BY_NUMBER[] = {"", "E", "LE", "TLE"};
    int wanted = axes_wanted(how);
    axes a;
    memset(&a, 0, sizeof a);
    if (!wanted && (num_dims < 1 || num_dims > 3))
        fail(STATUS_INPUT, "%s: an array of %d dimensions: --axes should say what they are, as in TLGE", name,
             num_dims);
    if (wanted && wanted != num_dims)
        fail(STATUS_INPUT, "%s: an array of %d dimensions, but --axes %s has %d letters", name, num_dims, how->axes,
             wanted);
    a.num_dims = num_dims;
    a.fortran = fortran;
    memcpy(a.letter, wanted ? how->axes : BY_NUMBER[num_dims], (size_t)num_dims);
    memcpy(a.dim, dim, (size_t)num_dims * sizeof *dim);
    if (axes_has(&a, 'K') && axes_has(&a, 'T') && !axes_has(&a, 'N')) /* tokens, of one sample */
        *(char *)memchr(a.letter, 'T', (size_t)num_dims) = 'N';
    a.by_slot = axes_has(&a, 'P') || axes_has(&a, 'S');
    a.routed = axes_has(&a, 'K');
    a.sample_axis = -1;
    size_t count = 1;
    for (int d = 0; d < num_dims; d++) {
        if (a.letter[d] == 'T') a.sample_axis = d;
        if (dim[d] < 1 || (uint64_t)dim[d] > SIZE_MAX || !multiply_fits(count, (size_t)dim[d], &count))
            fail(STATUS_INPUT, "%s: an array with more numbers than can be counted, or with none", name);
    }
    int64_t samples = axes_along(&a, 'T'), layers = axes_along(&a, 'L');
    int64_t slots = axes_has(&a, 'S') ? axes_along(&a, 'G') * axes_along(&a, 'S') : 1;
    int64_t width = axes_along(&a, 'E') * axes_along(&a, 'P') * slots;
    if (samples > INT32_MAX || layers > INT32_MAX || width > INT32_MAX)
        fail(STATUS_INPUT, "%s: more samples, layers or columns than 2147483647", name);
    a.num_samples = (int32_t)samples;
    a.num_layers = (int32_t)layers;
    axes_set_width(&a, a.routed ? 0 : (int32_t)width);
    a.in_order = axes_in_order(&a);
    return a;
}

size_t axes_count(const axes *a)
{
    size_t count = 1;
    for (int d = 0; d < a->num_dims; d++) count *= (size_t)a->dim[d];
    return count;
}

size_t axes_sample_count(const axes *a) { return axes_count(a) / (size_t)a->num_samples; }

void axes_index(const axes *a, size_t element, int64_t index[MAX_AXES])
{
    for (int i = 0; i < a->num_dims; i++) {
        int d = a->fortran ? i : a->num_dims - 1 - i;
        index[d] = (int64_t)(element % (size_t)a->dim[d]);
        element /= (size_t)a->dim[d];
    }
}

void axes_next(const axes *a, int64_t index[MAX_AXES])
{
    for (int i = 0; i < a->num_dims; i++) {
        int d = a->fortran ? i : a->num_dims - 1 - i;
        if (++index[d] < a->dim[d]) return;
        index[d] = 0;
    }
}

int32_t axes_sample(const axes *a, const int64_t index[MAX_AXES])
{
    return a->sample_axis < 0 ? 0 : (int32_t)index[a->sample_axis];
}

size_t axes_place(const axes *a, const int64_t index[MAX_AXES])
{
    size_t place = 0;
    for (int d = 0; d < a->num_dims; d++) place += (size_t)index[d] * a->stride[d];
    return place;
}
