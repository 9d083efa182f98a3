/* Two windows at a time are laid out side by side in `patch`, then multiplied with packed pairs of rows; mq_tile.h has
 * the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"

#include "mq_fixed.h"
#include "mq_tile.h"
#include "mq_window.h"

/* Puts `length` values, `step` apart, at columns k, k + 1, ... */
static void put(int16_t *patch, uint32_t k, const int8_t *x, int32_t length, int32_t step) {
    if ((k & 1u) && length > 0) {
        patch[mq_tile_at(k)] = *x;
        x += step;
        k++;
        length--;
    }
    int16_t *at = patch + mq_tile_at(k);
    for (; length > 1; length -= 2) {
        at[0] = x[0];
        at[1] = x[step];
        x += 2 * step;
        at += 4;
    }
    if (length > 0) {
        at[0] = *x;
    }
}

/* Lays out the window at (top, left): the channels of one tap or, where there is a single channel, the taps of one row
 * are one run. */
static void lay_out(int16_t *patch, const int8_t *x, const mq_conv_shape *s, int32_t top, int32_t left, int32_t zero) {
    const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
    const int32_t columns = h.end - h.first;
    if ((v.end - v.first) * columns < s->kernel_height * s->kernel_width) {
        const uint32_t weights = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
        for (uint32_t k = 0; k < weights; k++) {
            patch[mq_tile_at(k)] = (int16_t)zero;
        }
    }
    const int32_t runs = s->channels == 1 ? 1 : columns;
    const int32_t length = s->channels == 1 ? columns : s->channels;
    const int32_t step = s->channels == 1 ? s->dilation_width : s->in_height * s->in_width;
    for (int32_t a = v.first; a < v.end; a++) {
        int32_t at = (top + a * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
        int32_t k = (a * s->kernel_width + h.first) * s->channels;
        for (int32_t r = 0; r < runs; r++) {
            put(patch, (uint32_t)k, x + at, length, step);
            at += s->dilation_width;
            k += s->channels;
        }
    }
}

/* One output of both windows, or of the first. */
static inline void finish(int32_t acc, int32_t acc_next, int32_t o, int32_t count, int8_t *y, const mq_conv_params *p) {
    const int32_t bias = p->bias[o];
    const int32_t multiplier = p->multiplier[o];
    const int32_t shift = p->shift[o];
    y[0] = (int8_t)mq_clamp(p->y_zero + mq_requantise(bias + acc, multiplier, shift), p->low, p->high);
    if (count > 1) {
        y[1] = (int8_t)mq_clamp(p->y_zero + mq_requantise(bias + acc_next, multiplier, shift), p->low, p->high);
    }
}

/* All outputs of one group for `count` <= 2 windows; `first` is the group's first output, y its place in the map. */
static void multiply(const int16_t *patch, const mq_word *w, uint32_t fours, int32_t first, int32_t count, int8_t *y,
                     const mq_conv_shape *s, const mq_conv_params *shared) {
    const mq_conv_params p = *shared; /* a copy, which y cannot overlap */
    const mq_word *x = (const mq_word *)(const void *)patch;
    const int32_t map = s->out_height * s->out_width;
    const int32_t end = first + s->outputs;
    int32_t offsets[2];
    mq_tile_offsets(x, fours, offsets);
    for (int32_t o = first; o < end; o += 2) {
        const mq_tile_sums acc = mq_tile(x, w, fours);
        finish(acc.a, acc.a_next, o, count, y, &p);
        y += map;
        if (o + 1 < end) {
            const int32_t b = mq_tile_second(acc.s, acc.a, offsets[0]);
            const int32_t b_next = mq_tile_second(acc.s_next, acc.a_next, offsets[1]);
            finish(b, b_next, o + 1, count, y, &p);
            y += map;
        }
        w += fours * 2u;
    }
}

void mq_conv_s8(const int8_t *x, const int8_t *w, int8_t *y, int16_t *patch, const mq_conv_shape *s,
                const mq_conv_params *p) {
    const uint32_t fours = ((uint32_t)(s->kernel_height * s->kernel_width * s->channels) + 3u) / 4u;
    const uint32_t group_words = ((uint32_t)s->outputs + 1u) / 2u * fours * 2u;
    const int32_t windows = s->out_height * s->out_width;
    memset(patch, 0, fours * 16u);
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t g = 0; g < s->groups; g++) {
            const mq_word *group = (const mq_word *)(const void *)w + (uint32_t)g * group_words;
            for (int32_t at = 0, i = 0, j = 0; at < windows; at += 2) {
                const int32_t count = windows - at < 2 ? 1 : 2;
                for (int32_t k = 0; k < count; k++) {
                    lay_out(patch + 2 * k, x, s, i * s->stride_height - s->pad_top, j * s->stride_width - s->pad_left,
                            p->x_zero);
                    j = j + 1 < s->out_width ? j + 1 : 0;
                    i += j == 0;
                }
                multiply(patch, group, fours, g * s->outputs, count, y + at, s, p);
            }
            x += s->channels * s->in_height * s->in_width;
            y += s->outputs * windows;
        }
    }
}
