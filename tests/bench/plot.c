/* plot.c - panels of a picture, as SVG that stands alone. Lengths are in pixels from the upper left corner. */
#include "migration.h"

#include <math.h>

#define GREY "#555555"

enum { MOST_TICKS = 8 };

void open_picture(FILE *svg, int width, int height, const char *title)
{
    fprintf(svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
            width, height, width, height);
    fprintf(svg, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height);
    plot_text(svg, width / 2.0, 28, "middle", "font-size=\"18\" font-weight=\"bold\"", title);
}

void close_picture(FILE *svg) { fprintf(svg, "</svg>\n"); }

double plot_x(const plot *p, double x)
{
    double part = p->squares ? (sqrt(x) - sqrt(p->first)) / (sqrt(p->last) - sqrt(p->first))
                             : (x - p->first) / (p->last - p->first);
    return p->left + part * p->width;
}

double plot_y(const plot *p, double y) { return p->top + p->height * (p->high - y) / (p->high - p->low); }

void plot_text(FILE *svg, double x, double y, const char *anchor, const char *style, const char *text)
{
    fprintf(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>\n", x, y, anchor, style, text);
}

void plot_rule(FILE *svg, double x1, double y1, double x2, double y2, const char *style)
{
    fprintf(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style);
}

/* The smallest of 1, 2, 5, 10, .. thousandths that leaves no more ticks than there may be. */
static double tick_step(double span)
{
    static const double digit[] = {1, 2, 5};
    for (int i = 0;; i++) {
        double step = 0.001 * digit[i % 3] * pow(10, i / 3);
        if (span / step <= MOST_TICKS) return step;
    }
}

void plot_vertical_axis(FILE *svg, const plot *p, const char *title)
{
    double step = tick_step(p->high - p->low);
    char label[32];
    for (double k = ceil(p->low / step - 1e-9); k * step <= p->high + 1e-9; k++) {
        double y = plot_y(p, k * step);
        plot_rule(svg, p->left, y, p->left + p->width, y, "stroke=\"#e4e4e4\"");
        snprintf(label, sizeof label, step < 0.01 ? "%.3f" : "%.2f", k * step);
        plot_text(svg, p->left - 7, y + 4, "end", "fill=\"" GREY "\"", label);
    }
    plot_text(svg, p->left - 42, p->top - 12, "start", "font-weight=\"bold\"", title);
}

void plot_horizontal_axis(FILE *svg, const plot *p, const double *ticks, int num_ticks, const char *title)
{
    double bottom = p->top + p->height;
    char label[32];
    for (int i = 0; i < num_ticks; i++) {
        double x = plot_x(p, ticks[i]);
        plot_rule(svg, x, bottom, x, bottom + 4, "stroke=\"" GREY "\"");
        snprintf(label, sizeof label, "%g", ticks[i]);
        plot_text(svg, x, bottom + 17, "middle", "fill=\"" GREY "\"", label);
    }
    plot_rule(svg, p->left, bottom, p->left + p->width, bottom, "stroke=\"" GREY "\"");
    plot_text(svg, p->left + p->width / 2, bottom + 36, "middle", "", title);
}

void plot_curve(FILE *svg, const plot *p, const double *x, const double *y, int n, const char *colour,
                const char *dashes)
{
    fprintf(svg, "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"%s\" stroke-dasharray=\"%s\" points=\"", colour,
            dashes);
    for (int i = 0; i < n; i++) fprintf(svg, "%s%.1f,%.1f", i ? " " : "", plot_x(p, x[i]), plot_y(p, y[i]));
    fprintf(svg, "\"/>\n");
}

void plot_mark(FILE *svg, double x, double y, const char *colour, int filled)
{
    fprintf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" stroke-width=\"1.5\" stroke=\"%s\" fill=\"%s\"/>\n", x, y,
            filled ? 2.5 : 4.5, colour, filled ? colour : "#ffffff");
}
