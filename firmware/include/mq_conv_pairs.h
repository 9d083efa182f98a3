/* The convolutions of s8 with s8 weights on cores without instructions for it; mq_conv.h has the mathematics.
 *
 * Four windows at a time are laid out in `patch` as two pairs (mq_pair_dots.h), once for all outputs of their group: a
 * product is one multiplication for two windows. One or two windows that are left are multiplied by four rows at a
 * time (mq_plain_rows.h). A file defines MQ_CONV, the function's name, and MQ_Y, which ends a name by the format of y.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fixed.h"
#include "mq_pair_dots.h"
#include "mq_plain_rows.h"

#define MQ_X(name) name##_s8
#define MQ_PATCH uint32_t
#include "mq_conv_windows.h"

static inline void put_one(uint32_t *patch, uint32_t k, int32_t a, int32_t b) {
    patch[2u * k] = mq_turned_pair(a, b);
}

static void put(uint32_t *patch, uint32_t k, run a, run b, int32_t length) {
    patch += 2u * k;
    for (const uint32_t *end = patch + 2 * length; patch != end; patch += 2) {
        *patch = mq_turned_pair(*a.at, *b.at);
        a.at += a.step;
        b.at += b.step;
    }
}

static inline MQ_Y(mq_value) finish(int32_t acc, int32_t o, const mq_conv_params *p) {
    const int32_t value = mq_requantise(acc + p->bias[o], p->multiplier[o], p->shift[o]);
    return (MQ_Y(mq_value))mq_clamp(p->y_zero + value, p->low, p->high);
}

/* Output o of `count` windows side by side, from their sums with the sign turned. */
MQ_OUT_OF_LINE void finish_windows(const int32_t *sums, int32_t o, uint32_t count, MQ_Y(mq_value) * y,
                                   const mq_conv_params *p) {
    const int32_t *const end = sums + count;
    const int32_t bias = p->bias[o];
    if (p->shift[o] >= 0) {
        while (sums != end) {
            *y++ = finish(-*sums++, o, p);
        }
        return;
    }
    const mq_requantiser scale = mq_requantiser_of(p->multiplier[o], p->shift[o], p->y_zero, p->low, p->high);
    while (sums != end) {
        *y++ = (MQ_Y(mq_value))mq_requantised(bias - *sums++, &scale);
    }
}

/* All outputs of a group for three or four windows; y: the first window in the map of the first output. */
static void multiply(const uint32_t *patch, uint32_t columns, uint32_t count, const int8_t *w, int32_t first,
                     MQ_Y(mq_value) * y, const mq_conv_shape *s, const mq_conv_params *p) {
    const int32_t map = s->out_height * s->out_width;
    for (int32_t o = first; o < first + s->outputs; o++) {
        int32_t sums[4];
        mq_dots_of_pairs(patch, w, columns, sums);
        finish_windows(sums, o, count, y, p);
        w += columns;
        y += map;
    }
}

/* One window, as its weights lie. */
static void lay_out_alone(int8_t *window, const source *from, place at) {
    const mq_conv_shape *s = from->s;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        for (int32_t d = 0; d < s->kernel_width; d++) {
            run values = tap(from, at.i + a * s->dilation_height, at.j + d * s->dilation_width);
            for (const int8_t *end = window + s->channels; window != end; values.at += values.step) {
                *window++ = *values.at;
            }
        }
    }
}

/* All outputs of a group for one window. */
static void multiply_alone(const int8_t *window, uint32_t columns, const int8_t *w, int32_t first, MQ_Y(mq_value) * y,
                           const mq_conv_shape *s, const mq_conv_params *p) {
    const int32_t map = s->out_height * s->out_width;
    const int32_t end = first + s->outputs;
    const mq_vector_s8 v = mq_vector_of_s8(window, columns);
    for (int32_t o = first; o < end; o += 4) {
        int32_t sums[4];
        w = mq_rows_s8(&v, w, (uint32_t)(end - o), sums);
        for (int32_t k = 0; k < 4 && o + k < end; k++) {
            *y = finish(sums[k], o + k, p);
            y += map;
        }
    }
}

void MQ_CONV(const int8_t *x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *patch, const mq_conv_shape *s,
             const mq_conv_params *p) {
    uint32_t *room = (uint32_t *)(void *)patch;
    const uint32_t columns = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const int32_t windows = s->out_height * s->out_width;
    source from = {x, s, s->in_height * s->in_width, (int8_t)p->x_zero};
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t g = 0; g < s->groups; g++) {
            const int8_t *group = mq_rows_from(w, (uint32_t)g, 0, (uint32_t)s->outputs, columns);
            place at = {-s->pad_top, -s->pad_left};
            int32_t left = windows;
            for (; left > 2; left -= 4) {
                const place second = after(at, s), third = after(second, s), fourth = after(third, s);
                lay_out(room, &from, at, second);
                lay_out(room + 1, &from, third, fourth);
                multiply(room, columns, left < 4 ? 3u : 4u, group, g * s->outputs, y + windows - left, s, p);
                at = after(fourth, s);
            }
            for (; left > 0; left--) {
                int8_t *window = (int8_t *)(void *)patch;
                lay_out_alone(window, &from, at);
                multiply_alone(window, columns, group, g * s->outputs, y + windows - left, s, p);
                at = after(at, s);
            }
            from.x += s->channels * from.map;
            y += s->outputs * windows;
        }
    }
}
