/* The convolutions with s8 weights on cores with DSP instructions; mq_conv.h has the mathematics.
 *
 * Two windows at a time are laid out side by side in `patch`, then multiplied with packed pairs of rows (mq_tile.h):
 * two outputs of two windows at once. A file defines MQ_CONV, the function's name, and MQ_X and MQ_Y, which end a name
 * by the format of x and y. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_fixed.h"
#include "mq_tile.h"

#define MQ_PATCH int16_t
#include "mq_conv_windows.h"

static inline void put_one(int16_t *patch, uint32_t k, int32_t a, int32_t b) {
    patch += mq_tile_at(k);
    patch[0] = (int16_t)a;
    patch[2] = (int16_t)b;
}

static void put(int16_t *patch, uint32_t k, run a, run b, int32_t length) {
    if (k & 1u) {
        patch += mq_tile_at(k);
        patch[0] = *a.at;
        patch[2] = *b.at;
        a.at += a.step;
        b.at += b.step;
        k++;
        length--;
        patch += 3;
    } else {
        patch += mq_tile_at(k);
    }
    for (const int16_t *end = patch + (length >> 1) * 4; patch != end; patch += 4) {
        patch[0] = a.at[0];
        patch[1] = a.at[a.step];
        patch[2] = b.at[0];
        patch[3] = b.at[b.step];
        a.at += 2 * a.step;
        b.at += 2 * b.step;
    }
    if (length & 1) {
        patch[0] = *a.at;
        patch[2] = *b.at;
    }
}

/* What the outputs of one group share; outputs `first` to `end` - 1. */
typedef struct {
    const mq_word *x;
    const mq_word *w;
    uint32_t fours;
    int32_t begin[2]; /* of both windows; see mq_tile_begin */
    int32_t first;
    int32_t end;
    int32_t map;
    mq_conv_params p;
} group;

static inline MQ_Y(mq_value) finish(int32_t acc, int32_t o, const mq_conv_params *p) {
    return MQ_Y(mq_sat)(p->y_zero + mq_requantise(acc + p->bias[o], p->multiplier[o], p->shift[o]));
}

/* Output o of two windows, with a shift of either sign. */
MQ_OUT_OF_LINE void finish_two(int32_t acc, int32_t acc_next, int32_t o, MQ_Y(mq_value) * y, const mq_conv_params *p) {
    y[0] = finish(acc, o, p);
    y[1] = finish(acc_next, o, p);
}

/* All outputs of one window, from output `first` of the group, whose weights lie at w; `second`: of the second one. */
MQ_OUT_OF_LINE void one_window(const group *g, const mq_word *w, int32_t first, uint32_t second, MQ_Y(mq_value) * y) {
    for (int32_t o = first; o < g->end; o += 2) {
        const mq_two_rows acc = mq_tile_one(g->x + second, w, g->fours, g->begin[second]);
        y[0] = finish(acc.a, o, &g->p);
        if (o + 1 < g->end) {
            y[g->map] = finish(acc.b, o + 1, &g->p);
        }
        w += 2u * g->fours;
        y += 2 * g->map;
    }
}

/* All outputs of two windows, two at a time. A negative shift: zero + (((q >> down) + 1) >> 1)
 * = ((q >> down) + rounding) >> 1. */
MQ_OUT_OF_LINE void two_windows(const group *g, MQ_Y(mq_value) * y) {
    const mq_word *w = g->w;
    const mq_tile_sums begin = {0, g->begin[0], 0, g->begin[1]};
    const int32_t map = g->map;
    const int32_t rounding = 1 + 2 * g->p.y_zero;
    const int32_t *bias = g->p.bias + g->first;
    const int32_t *multiplier = g->p.multiplier + g->first;
    const int8_t *shift = g->p.shift + g->first;
    const int8_t *const end = shift + ((g->end - g->first) & ~1);
    while (shift != end) {
        const mq_tile_sums acc = mq_tile(begin, g->x, &w, g->fours);
        const int32_t down = ~shift[0], down_next = ~shift[1];
        shift += 2;
        if ((down | down_next) >= 0) {
            const int32_t m = multiplier[0], m_next = multiplier[1], b = bias[0], b_next = bias[1];
            const int32_t first = (mq_mulh(acc.a + b, m) >> down) + rounding;
            const int32_t second = (mq_mulh(acc.a_next + b, m) >> down) + rounding;
            const int32_t third = (mq_mulh(acc.s + b_next, m_next) >> down_next) + rounding;
            const int32_t fourth = (mq_mulh(acc.s_next + b_next, m_next) >> down_next) + rounding;
            y[0] = MQ_Y(mq_sat)(first >> 1);
            y[1] = MQ_Y(mq_sat)(second >> 1);
            y[map] = MQ_Y(mq_sat)(third >> 1);
            y[map + 1] = MQ_Y(mq_sat)(fourth >> 1);
        } else {
            const int32_t o = (int32_t)(bias - g->p.bias);
            finish_two(acc.a, acc.a_next, o, y, &g->p);
            finish_two(acc.s, acc.s_next, o + 1, y + map, &g->p);
        }
        bias += 2;
        multiplier += 2;
        y += 2 * map;
    }
    if ((g->end - g->first) & 1) {
        const mq_two_rows acc = mq_tile_alone(g->x, w, g->fours);
        finish_two(acc.a, acc.b, g->end - 1, y, &g->p);
    }
}

/* Limits a map to less than its type: a pass of its own, which most layers do not need. */
static void limit(MQ_Y(mq_value) * y, int32_t count, int32_t low, int32_t high) {
    if (low == MQ_Y(mq_sat)(INT32_MIN) && high == MQ_Y(mq_sat)(INT32_MAX)) {
        return;
    }
    for (MQ_Y(mq_value) *end = y + count; y != end; y++) {
        *y = (MQ_Y(mq_value))mq_clamp(*y, low, high);
    }
}

void MQ_CONV(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *patch, const mq_conv_shape *s,
             const mq_conv_params *p) {
    const uint32_t fours = ((uint32_t)(s->kernel_height * s->kernel_width * s->channels) + 3u) / 4u;
    const int32_t windows = s->out_height * s->out_width;
    source from = {x, s, s->in_height * s->in_width, (MQ_X(mq_value))p->x_zero};
    group g = {(const mq_word *)(void *)patch, (const mq_word *)(const void *)w, fours, {0, 0}, 0, 0, windows, *p};
    memset(patch, 0, fours * 16u);
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t part = 0; part < s->groups; part++) {
            g.first = part * s->outputs;
            g.end = g.first + s->outputs;
            g.w = (const mq_word *)(const void *)w + (uint32_t)part * (((uint32_t)s->outputs + 1u) / 2u * fours * 2u);
            place next = {-s->pad_top, -s->pad_left};
            for (int32_t at = 0; at < windows; at += 2) {
                const place here = next;
                next = after(here, s);
                lay_out(patch, &from, here, next);
                if (s->outputs > 1) {
                    mq_tile_begin(g.x, fours, g.begin);
                }
                if (at + 1 < windows) {
                    two_windows(&g, y + at);
                } else {
                    one_window(&g, g.w, g.first, 0, y + at);
                }
                next = after(next, s);
            }
            from.x += s->channels * from.map;
            limit(y, s->outputs * windows, p->low, p->high);
            y += s->outputs * windows;
        }
    }
}
