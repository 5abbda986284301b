/* draw.c - pictures: the heat map of a plan and the chart of a replay, as SVG that stands alone: a white
   ground of its own, no script, and no font or file from elsewhere. Lengths are in pixels from the upper
   left corner. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------- pictures */

#define PICTURE_WIDTH 1000
#define INK           "#222222"
#define FAINT         "#dddddd"
#define TEXT_SIZE     13
#define TEXT_DROP     4.5 /* of the line that text stands on under the middle of its digits */
#define DIGIT_WIDTH   8   /* no less than that of a digit of TEXT_SIZE in any usual font */

typedef struct box {
    double x, y, width, height;
} box;

static const char *const START = "start", *const MIDDLE = "middle", *const END = "end"; /* of text, at x */

static void svg_text(FILE *out, double x, double y, const char *anchor, const char *format, ...) PRINTS(5, 6);
static void svg_text(FILE *out, double x, double y, const char *anchor, const char *format, ...)
{
    va_list args;
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fprintf(out, "</text>\n");
}

static void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *stroke)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, stroke);
}

static void svg_box(FILE *out, box b, const char *style)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" %s/>\n", b.x, b.y, b.width, b.height,
            style);
}

static void svg_begin(FILE *out, int height, const char *title)
{
    fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\"",
            PICTURE_WIDTH, height, PICTURE_WIDTH, height);
    fprintf(out, " font-family=\"sans-serif\" font-size=\"%d\" fill=\"%s\">\n<title>%s</title>\n", TEXT_SIZE, INK,
            title);
    svg_box(out, (box){0, 0, PICTURE_WIDTH, height}, "fill=\"#ffffff\"");
    fprintf(out, "<g font-size=\"20\" font-weight=\"bold\">\n");
    svg_text(out, PICTURE_WIDTH / 2.0, 32, MIDDLE, "%s", title);
    fprintf(out, "</g>\n");
}

static void svg_end(FILE *out) { fprintf(out, "</svg>\n"); }

/* Upright text beside an axis. */
static void svg_side_text(FILE *out, double x, double y, const char *text)
{
    fprintf(out, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", x, y, text);
}

/* "58 layers x 256 experts, 288 replicas on 32 GPUs" */
static void print_shape(FILE *out, const eplb_problem *q, int32_t num_layers)
{
    fprintf(out, "%d layer%s × %d experts, %d replicas on %d GPUs", (int)num_layers, num_layers == 1 ? "" : "s",
            (int)q->num_experts, (int)q->num_replicas, (int)q->num_gpus);
}

/* The smallest of 1, 2, 5, 10, 20, .. that goes at most `most` times into the span. */
static int64_t tick_step(int64_t span, int64_t most)
{
    int64_t step = 1;
    for (int i = 0; span / step > most; i++) step = i % 3 == 1 ? step / 2 * 5 : step * 2;
    return step;
}

/* ----------------------------------------------------------------------------------- heat map */

/* The load of each GPU in each layer, before and after, as a part of the layer's mean. */

#define HEAT_FULL      2.0 /* times the mean: the last colour, which also stands for more */
#define HEAT_LEVELS    80  /* colours above that of no load; the one half-way is the mean's */
#define HEAT_MAX_CELLS 400 /* in a row or column; beyond, neighbours share one, which shows their largest */
#define HEAT_WIDTH     410.0
#define HEAT_HEIGHT    640.0 /* at most */
#define HEAT_ROW       26.0  /* a layer's height at most */
#define HEAT_GRID      6.0   /* cells of this size on are set apart by lines */
#define HEAT_TOP       100.0
#define LEGEND_WIDTH   320.0

typedef struct heat_map {
    int32_t num_layers, num_gpus;
    int32_t layers_each, gpus_each; /* in a cell */
    int32_t rows, columns;
    double cell_width, cell_height;
    unsigned char *level; /* [rows, columns] of the panel being drawn, 0 .. HEAT_LEVELS */
} heat_map;

static heat_map make_heat_map(const planning *p)
{
    heat_map m;
    m.num_layers = p->num_layers;
    m.num_gpus = p->problem.num_gpus;
    m.layers_each = (m.num_layers - 1) / HEAT_MAX_CELLS + 1;
    m.gpus_each = (m.num_gpus - 1) / HEAT_MAX_CELLS + 1;
    m.rows = (m.num_layers - 1) / m.layers_each + 1;
    m.columns = (m.num_gpus - 1) / m.gpus_each + 1;
    m.cell_width = HEAT_WIDTH / m.columns;
    m.cell_height = m.rows * HEAT_ROW < HEAT_HEIGHT ? HEAT_ROW : HEAT_HEIGHT / m.rows;
    m.level = (unsigned char *)allocate((size_t)m.rows * (size_t)m.columns, 1);
    return m;
}

static void set_levels(const heat_map *m, const planning *p, const float *load)
{
    memset(m->level, 0, (size_t)m->rows * (size_t)m->columns);
    for (int32_t layer = 0; layer < m->num_layers; layer++) {
        unsigned char *row = m->level + (size_t)(layer / m->layers_each) * (size_t)m->columns;
        double mean = (double)p->result[layer].after.mean_load;
        for (int32_t g = 0; g < m->num_gpus; g++) {
            double here = load_share((double)load[(size_t)layer * (size_t)m->num_gpus + (size_t)g], mean);
            int level = here < HEAT_FULL ? (int)(here / HEAT_FULL * HEAT_LEVELS + 0.5) : HEAT_LEVELS;
            if (level > row[g / m->gpus_each]) row[g / m->gpus_each] = (unsigned char)level;
        }
    }
}

/* Blue, grey, red: between five colours those of a level are mixed. */
static void print_heat_colour(FILE *out, int level)
{
    static const int COLOUR[5][3] = {{33, 102, 172}, {132, 182, 215}, {242, 242, 242}, {239, 138, 98}, {165, 15, 32}};
    int span = HEAT_LEVELS / 4, at = level < HEAT_LEVELS ? level / span : 3, part = level - at * span;
    fprintf(out, "#");
    for (int i = 0; i < 3; i++) fprintf(out, "%02x", (COLOUR[at][i] * (span - part) + COLOUR[at + 1][i] * part) / span);
}

/* A path for each level, of the runs of cells that have it; a unit is a cell. */
static void draw_cells(FILE *out, const heat_map *m, box b)
{
    fprintf(out, "<g transform=\"translate(%.1f %.1f) scale(%.6f %.6f)\" shape-rendering=\"crispEdges\">\n", b.x, b.y,
            m->cell_width, m->cell_height);
    for (int level = 0; level <= HEAT_LEVELS; level++) {
        bool begun = false;
        for (int32_t row = 0; row < m->rows; row++) {
            const unsigned char *at = m->level + (size_t)row * (size_t)m->columns;
            for (int32_t begin = 0, end; begin < m->columns; begin = end) {
                for (end = begin + 1; end < m->columns && at[end] == at[begin];) end++;
                int run = (int)(end - begin);
                if (at[begin] != level) continue;
                if (!begun) {
                    fprintf(out, "<path fill=\"");
                    print_heat_colour(out, level);
                    fprintf(out, "\" d=\"");
                }
                begun = true;
                fprintf(out, "M%d %dh%dv1h-%dz", (int)begin, (int)row, run, run);
            }
        }
        if (begun) fprintf(out, "\"/>\n");
    }
    fprintf(out, "</g>\n");
}

static void draw_grid(FILE *out, const heat_map *m, const planning *p, box b)
{
    static const char WHITE[] = "stroke=\"#ffffff\"", DARK[] = "stroke=\"#555555\"";
    int32_t gpus_per_node = m->num_gpus / p->problem.num_nodes;
    for (int32_t row = 1; row < m->rows && m->cell_height >= HEAT_GRID; row++)
        svg_line(out, b.x, b.y + row * m->cell_height, b.x + b.width, b.y + row * m->cell_height, WHITE);
    for (int32_t column = 1; column < m->columns && m->gpus_each == 1; column++) {
        double x = b.x + column * m->cell_width;
        bool node = gpus_per_node > 1 && column % gpus_per_node == 0;
        if (node || m->cell_width >= HEAT_GRID) svg_line(out, x, b.y, x, b.y + b.height, node ? DARK : WHITE);
    }
    svg_box(out, b, "fill=\"none\" stroke=\"#555555\"");
}

static void draw_heat_axes(FILE *out, const heat_map *m, const planning *p, box b)
{
    int64_t step = tick_step(m->num_gpus - 1, 8);
    for (int64_t g = 0; g < m->num_gpus; g += step)
        svg_text(out, b.x + ((double)(g / m->gpus_each) + 0.5) * m->cell_width, b.y + b.height + 18, MIDDLE, "%d",
                 (int)g);
    svg_text(out, b.x + b.width / 2, b.y + b.height + 38, MIDDLE, "GPU%s%s",
             m->gpus_each > 1 ? ", the most loaded of neighbours" : "",
             p->problem.num_nodes > 1 && p->problem.num_nodes < m->num_gpus && m->gpus_each == 1
                 ? "; lines between nodes"
                 : "");
    bool follow = p->layer[m->num_layers - 1] - p->layer[0] == m->num_layers - 1; /* numbers, each other */
    int64_t first = follow ? p->layer[0] : 0;
    step = tick_step(m->num_layers - 1, (int64_t)(b.height / (TEXT_SIZE + 5)));
    for (int64_t i = (step - first % step) % step; i < m->num_layers; i += step) {
        double row = (double)(i / m->layers_each) + 0.5;
        svg_text(out, b.x - 6, b.y + row * m->cell_height + TEXT_DROP, END, "%lld", (long long)p->layer[i]);
    }
    svg_side_text(out, b.x - 46, b.y + b.height / 2, "layer");
}

static void draw_heat_legend(FILE *out, double y)
{
    static const char *const LABELS[] = {"0", "0.5", "1", "1.5", "≥ 2"};
    double x = (PICTURE_WIDTH - LEGEND_WIDTH) / 2, width = LEGEND_WIDTH / (HEAT_LEVELS + 1);
    fprintf(out, "<g transform=\"translate(%.1f %.1f) scale(%.6f 14)\" shape-rendering=\"crispEdges\">\n", x, y, width);
    for (int level = 0; level <= HEAT_LEVELS; level++) {
        fprintf(out, "<path fill=\"");
        print_heat_colour(out, level);
        fprintf(out, "\" d=\"M%d 0h1v1h-1z\"/>\n", level);
    }
    fprintf(out, "</g>\n");
    svg_box(out, (box){x, y, LEGEND_WIDTH, 14}, "fill=\"none\" stroke=\"#555555\"");
    for (int i = 0; i < 5; i++) svg_text(out, x + (HEAT_LEVELS / 4 * i + 0.5) * width, y + 30, MIDDLE, "%s", LABELS[i]);
    svg_text(out, PICTURE_WIDTH / 2.0, y + 50, MIDDLE, "load of a GPU / mean of its layer");
}

void draw_heat_map(FILE *out, const planning *p, const settings *s)
{
    heat_map m = make_heat_map(p);
    plan_totals total = total_of_plan(p, 0, p->num_layers);
    double left = p->scored ? (PICTURE_WIDTH - HEAT_WIDTH) / 2 : 75;
    box b = {left, HEAT_TOP, HEAT_WIDTH, m.rows * m.cell_height};
    svg_begin(out, (int)(b.y + b.height) + 130, "Load of each GPU in each layer");
    fprintf(out, "<text x=\"%d\" y=\"56\" text-anchor=\"middle\">", PICTURE_WIDTH / 2);
    print_shape(out, &p->problem, p->num_layers);
    if (!p->scored) fprintf(out, "; preset %s, effort %d", eplb_preset_name(s->preset[0]), (int)p->options.effort);
    fprintf(out, "%s %s policy</text>\n", p->scored ? ";" : ",", policy_used(&p->problem, p->options.policy));
    for (int side = p->scored; side < 2; side++) {
        fprintf(out, "<g font-size=\"15\" font-weight=\"bold\">\n");
        svg_text(out, b.x + b.width / 2, b.y - 12, MIDDLE, "%s%s: balancedness %.4f",
                 p->scored   ? ""
                 : side == 0 ? "before, "
                             : "after",
                 side == 0 || p->scored ? p->name.text : "",
                 load_share(total.mean, side == 0 ? total.before : total.after));
        fprintf(out, "</g>\n");
        set_levels(&m, p, side == 0 ? p->gpu_before : p->gpu_after);
        draw_cells(out, &m, b);
        draw_grid(out, &m, p, b);
        draw_heat_axes(out, &m, p, b);
        b.x += HEAT_WIDTH + 80;
    }
    draw_heat_legend(out, b.y + b.height + 60);
    svg_end(out);
    free(m.level);
}

/* -------------------------------------------------------------------------------------- chart */

/* Balancedness on the next window, a line a series and way to share, over the windows, or where plans are kept, over
   their age: the presets on a scale of their own, which tells them apart, and below with the experts in order and
   the bound. Where plans start from the ones before, a third plot has what they changed. */

#define CHART_LEFT   75.0
#define CHART_WIDTH  690.0
#define CHART_TOP    102.0 /* of the upper plot */
#define CHART_UPPER  300.0 /* heights of the plots */
#define CHART_LOWER  220.0
#define CHART_GAP    74.0
#define CHART_MARGIN 12.0  /* from the sides to the first and last point */
#define CHART_MARKED 50    /* points at most that are marked */
#define CHART_LEGEND 24.0  /* a line's height at most */
#define CHART_UNIT   10000 /* scales are chosen in parts of 1 / CHART_UNIT */
#define CHART_LEAST  100   /* such parts that a scale spans at least */

static const char *const SERIES_COLOURS[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
                                             "#8c4a2f", "#6a3d9a", "#7a8500", "#d62839", "#00606b", "#f06bd0"};
enum { NUM_COLOURS = sizeof SERIES_COLOURS / sizeof *SERIES_COLOURS };

enum { CHART_PRESETS, CHART_BESIDE, CHART_CHANGED, MAX_CHARTS };

typedef struct chart { /* one of the plots */
    const replay *replay;
    box plot;
    int32_t first, last; /* lines shown */
    int32_t every;       /* of them, one of as many */
    int32_t begin;       /* the first point shown */
    int32_t num_points;
    double (*value)(const replay *r, int32_t line, int32_t point);
    const char *axis;        /* what the values are */
    int64_t low, high, step; /* of the scale, in parts of 1 / CHART_UNIT */
} chart;

/* Sets the scale, which has low and high on it. */
static void scale_chart(chart *c, double low, double high)
{
    for (int32_t line = c->last; line >= c->first; line -= c->every) {
        for (int32_t i = c->begin; i < c->num_points; i++) {
            double value = c->value(c->replay, line, i);
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
    }
    c->low = (int64_t)(low * CHART_UNIT);
    c->high = (int64_t)(high * CHART_UNIT) + 1;
    c->high = c->high < CHART_UNIT ? c->high : CHART_UNIT;
    c->low = c->low < c->high - CHART_LEAST ? c->low : c->high - CHART_LEAST;
    c->low = c->low > 0 ? c->low : 0;
    c->step = tick_step(c->high - c->low, (int64_t)c->plot.height / 45);
    c->low = c->low / c->step * c->step;
    c->high = (c->high + c->step - 1) / c->step * c->step;
}

static double chart_bottom(int which) { return CHART_TOP + CHART_UPPER + which * (CHART_GAP + CHART_LOWER); }

static chart make_chart(const replay *r, int which)
{
    int32_t lines = replay_num_lines(r);
    double height = which == CHART_PRESETS ? CHART_UPPER : CHART_LOWER;
    box plot = {CHART_LEFT, chart_bottom(which) - height, CHART_WIDTH, height};
    int32_t points = replay_num_points(r);
    chart c = {r, plot, r->num_shares, lines - 1, 1, 0, points, replay_point, "balancedness", 0, 0, 0};
    double low = 1, high = 0;
    if (which == CHART_BESIDE) {
        c.first = 0;
        c.last = lines;
    }
    if (which == CHART_CHANGED) { /* the same under all shares, and from the second plan on */
        c.every = r->num_shares;
        c.begin = 1;
        c.value = replay_changed;
        c.axis = "part of the slots";
        low = 0;
        high = (double)(CHART_LEAST - 1) / CHART_UNIT;
    }
    scale_chart(&c, low, high);
    return c;
}

static double chart_x(const chart *c, int32_t i)
{
    double part = c->num_points > 1 ? (double)i / (c->num_points - 1) : 0.5;
    return c->plot.x + CHART_MARGIN + part * (c->plot.width - 2 * CHART_MARGIN);
}

static double chart_y(const chart *c, double value)
{
    double part = (value * CHART_UNIT - (double)c->low) / (double)(c->high - c->low);
    return c->plot.y + (1 - part) * c->plot.height;
}

/* What a point is called: the first step of a window, or an age. */
static long long point_number(const replay *r, int32_t i) { return r->every == 1 ? replay_first_step(r, i) : i; }

static void draw_chart_axes(FILE *out, const chart *c)
{
    const replay *r = c->replay;
    double bottom = c->plot.y + c->plot.height;
    int decimals = 1, widest = 0;
    for (int64_t step = c->step; step % (CHART_UNIT / 10) != 0; step *= 10) decimals++;
    for (int64_t at = c->low; at <= c->high; at += c->step) {
        double value = (double)at / CHART_UNIT, y = chart_y(c, value);
        svg_line(out, c->plot.x, y, c->plot.x + c->plot.width, y, "stroke=\"" FAINT "\"");
        svg_text(out, c->plot.x - 8, y + TEXT_DROP, END, "%.*f", decimals, value);
    }
    for (int32_t i = 0; i < c->num_points; i++) {
        int width = snprintf(NULL, 0, "%lld", point_number(r, i));
        widest = width > widest ? width : widest;
    }
    int64_t step = tick_step(c->num_points - 1, (int64_t)c->plot.width / (widest * DIGIT_WIDTH + 30));
    for (int64_t i = 0; i < c->num_points; i += step) {
        double x = chart_x(c, (int32_t)i);
        svg_line(out, x, bottom, x, bottom + 5, "stroke=\"" INK "\"");
        svg_text(out, x, bottom + 20, MIDDLE, "%lld", point_number(r, (int32_t)i));
    }
    svg_line(out, c->plot.x, bottom, c->plot.x + c->plot.width, bottom, "stroke=\"" INK "\"");
    svg_side_text(out, c->plot.x - 58, c->plot.y + c->plot.height / 2, c->axis);
}

/* How a line is drawn: the presets in colour, what they lie between dashed; beside others, equal shares too, and vLLM's
   by dashes and dots. */
static void print_stroke(FILE *out, const replay *r, int32_t line)
{
    bool bound = line == replay_num_lines(r);
    bool several = r->num_shares > 1;
    int32_t series = bound ? 0 : line_series(r, line);
    int32_t way = bound ? SHARES_EQUAL : line_shares(r, line);
    const char *dashes = bound                            ? "2 4"
                         : several && way == SHARES_ROWS  ? "8 3 2 3"
                         : several && way == SHARES_EXACT ? NULL
                         : series == 0                    ? "7 5"
                         : several                        ? "5 3"
                                                          : NULL;
    fprintf(out, "fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke=\"%s\"",
            bound         ? "#222222"
            : series == 0 ? "#888888"
                          : SERIES_COLOURS[(series - 1) % NUM_COLOURS]);
    if (dashes) fprintf(out, " stroke-dasharray=\"%s\"", dashes);
}

static void draw_series(FILE *out, const chart *c, int32_t line)
{
    fprintf(out, "<g ");
    print_stroke(out, c->replay, line);
    fprintf(out, ">\n<polyline points=\"");
    for (int32_t i = c->begin; i < c->num_points; i++)
        fprintf(out, "%s%.1f,%.1f", i > c->begin ? " " : "", chart_x(c, i), chart_y(c, c->value(c->replay, line, i)));
    fprintf(out, "\"/>\n");
    for (int32_t i = c->begin; i < c->num_points && c->num_points <= CHART_MARKED; i++)
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" stroke-dasharray=\"none\"/>\n", chart_x(c, i),
                chart_y(c, c->value(c->replay, line, i)));
    fprintf(out, "</g>\n");
}

/* The bound, the presets, what stays as it is: from the top as they lie in the plot, as a rule. */
static void draw_chart_legend(FILE *out, const replay *r)
{
    double x = CHART_LEFT + CHART_WIDTH + 22, y = CHART_TOP + 8, room = CHART_UPPER + CHART_GAP + CHART_LOWER;
    int32_t lines = replay_num_lines(r);
    double height = room / (lines + 1) < CHART_LEGEND ? room / (lines + 1) : CHART_LEGEND;
    svg_text(out, PICTURE_WIDTH - 14, y, END, "all windows");
    for (int32_t i = 0; i <= lines; i++) {
        int32_t line = i == 0 ? lines : (i - 1 + r->num_shares) % lines; /* series 0 comes last */
        y += height;
        fprintf(out, "<path d=\"M%.1f %.1fh30\" ", x, y - TEXT_DROP);
        print_stroke(out, r, line);
        fprintf(out, "/>\n");
        svg_text(out, x + 38, y, START, "%s",
                 line == lines                          ? "bound"
                 : line_is_first(r, line)               ? r->name[line_series(r, line)]
                 : line_shares(r, line) == SHARES_EXACT ? "exact shares"
                                                        : "vLLM's shares");
        svg_text(out, PICTURE_WIDTH - 14, y, END, "%.4f", replay_line_total(r, line));
    }
}

/* "windows of 16 samples, plans of the last 16" and what else a replay was asked for. */
static void print_replay_words(FILE *out, const replay *r, const settings *s)
{
    fprintf(out, "; windows of %d sample%s, ", (int)r->window, r->window == 1 ? "" : "s");
    if (r->every == 0) fprintf(out, "a plan of the first");
    else if (r->every > 1) fprintf(out, "every %d a plan of the last %d", (int)r->every, (int)r->history);
    else fprintf(out, "plans of the last %d", (int)r->history);
    if (s->half_life > 0) fprintf(out, ", half-life %g", s->half_life);
    if (r->num_shares > 1 && r->shares[SHARES_EQUAL]) fprintf(out, "; equal shares dashed");
    else if (r->shares[SHARES_EXACT]) fprintf(out, "; exact shares");
    if (r->shares[SHARES_ROWS])
        fprintf(out, "; vLLM's shares of %d rows%s", (int)s->rows, r->num_shares > 1 ? " by dashes and dots" : "");
}

/* What a plot shows. */
static const char *chart_title(const replay *r, int which)
{
    return which == CHART_PRESETS   ? "Presets"
           : which == CHART_CHANGED ? "Slots that a plan changed"
           : r->in_force            ? "Beside the bound and the plan in force"
                                    : "Beside the bound and the experts in order";
}

void draw_chart(FILE *out, const replay *r, const settings *s)
{
    /* Only where each window has a plan of its own: by age, all changes are at the first point. */
    int charts = r->follows && r->every == 1 && r->num_plans > 1 ? MAX_CHARTS : CHART_CHANGED;
    int bottom = (int)chart_bottom(charts - 1);
    svg_begin(out, bottom + 60,
              r->every == 1 ? "Balancedness of plans on the next window"
                            : "Balancedness of plans on the next window, by their age");
    fprintf(out, "<text x=\"%d\" y=\"56\" text-anchor=\"middle\">", PICTURE_WIDTH / 2);
    print_shape(out, &r->problem, r->problem.num_layers);
    print_replay_words(out, r, s);
    fprintf(out, "</text>\n");
    if (r->follows) {
        fprintf(out, "<text x=\"%d\" y=\"71\" text-anchor=\"middle\">each plan from the one before", PICTURE_WIDTH / 2);
        print_limits(out, s);
        fprintf(out, "</text>\n");
    }
    for (int which = 0; which < charts; which++) {
        chart c = make_chart(r, which);
        fprintf(out, "<g font-size=\"15\" font-weight=\"bold\">\n");
        svg_text(out, CHART_LEFT, c.plot.y - 16, START, "%s", chart_title(r, which));
        fprintf(out, "</g>\n");
        draw_chart_axes(out, &c);
        for (int32_t line = c.last; line >= c.first; line -= c.every)
            draw_series(out, &c, line); /* of equal lines the first preset's shows */
    }
    svg_text(out, CHART_LEFT + CHART_WIDTH / 2, bottom + 42, MIDDLE,
             r->every == 1 ? "first step of the window after which the plan was made"
                           : "age of the plan: windows between those it was made after and scored on");
    draw_chart_legend(out, r);
    svg_end(out);
}
