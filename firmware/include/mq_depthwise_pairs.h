/* The depthwise convolutions of s8 with s8 weights on cores without instructions for it; mq_conv.h has the mathematics.
 *
 * One channel at a time is copied into `map` with its pads, two values in a word: each with the one that the next
 * output reads with the same tap. So one multiplication serves two outputs side by side (mq_pair_dots.h has how).
 * Behind the map lie the taps of a window, a place and a weight each. A file defines MQ_DEPTHWISE, the function's name,
 * and MQ_Y, which ends a name by the format of y. SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_fixed.h"
#include "mq_padded.h"
#include "mq_pair_dots.h"

/* A row of which one of the two is missing. */
MQ_OUT_OF_LINE void pad_edge(uint32_t *map, const int8_t *a, const int8_t *b, int32_t columns, int8_t zero) {
    for (int32_t j = 0; j < columns; j++) {
        map[j] = mq_pair(a ? a[j] : zero, b ? b[j] : zero);
    }
}

/* One channel into the middle of the map, each row paired with the one that the windows `below` rows further begin
 * with. */
MQ_OUT_OF_LINE void pad_above(uint32_t *map, const int8_t *x, const mq_conv_shape *s, int32_t height, int32_t width,
                              int8_t zero) {
    const int32_t rows = mq_padded_inside(height, s->pad_top, s->in_height);
    const int32_t columns = mq_padded_inside(width, s->pad_left, s->in_width);
    const int32_t below = s->stride_height;
    const int32_t distance = below * s->in_width;
    int32_t r = s->pad_top < below ? -s->pad_top : -below;
    map += (s->pad_top + r) * width + s->pad_left;
    for (; r < 0; r++) {
        pad_edge(map, NULL, r + below < rows ? x + (r + below) * s->in_width : NULL, columns, zero);
        map += width;
    }
    for (; r + below < rows; r++) {
        for (const int8_t *end = x + columns; x != end; x++) {
            *map++ = mq_pair(x[0], x[distance]);
        }
        map += width - columns;
        x += s->in_width - columns;
    }
    for (; r < rows; r++) {
        pad_edge(map, x, NULL, columns, zero);
        map += width;
        x += s->in_width;
    }
}

/* One channel of which all windows begin in the same row: each value paired with what the next window reads. */
MQ_OUT_OF_LINE void pad_beside(uint32_t *map, const int8_t *x, const mq_conv_shape *s, int32_t height, int32_t width,
                               int8_t zero) {
    const int32_t rows = mq_padded_inside(height, s->pad_top, s->in_height);
    const uint32_t columns = (uint32_t)mq_padded_inside(width, s->pad_left, s->in_width);
    map += s->pad_top * width;
    for (int32_t r = 0; r < rows; r++) {
        uint32_t at = 0u - (uint32_t)s->pad_left;
        uint32_t next = at + (uint32_t)s->stride_width;
        for (const uint32_t *end = map + width; map != end; at++, next++) {
            *map++ = mq_pair(at < columns ? x[at] : zero, next < columns ? x[next] : zero);
        }
        x += s->in_width;
    }
}

/* What makes outputs of the windows of a channel, and how. */
typedef struct {
    mq_windows windows;
    mq_window_function two;
} channel;

static inline channel channel_of(const mq_tap *taps, const mq_tap *end, int32_t k, const mq_conv_params *p) {
    const int32_t m = p->multiplier[k], shift = p->shift[k], bias = p->bias[k];
    const mq_requantiser scale = mq_requantiser_of(m, shift, p->y_zero, p->low, p->high);
    const mq_windows windows = {taps, end, mq_pair(bias, bias), bias, scale, m, shift, p->y_zero};
    const channel made = {windows, shift < 0 ? mq_two_outputs_down : mq_two_outputs_up};
    return made;
}

/* `rows` rows of pairs of outputs, one above the other. */
MQ_OUT_OF_LINE void pairs_above(const uint32_t *map, int32_t width, const channel *c, MQ_Y(mq_value) * y,
                                const mq_conv_shape *s, int32_t rows) {
    const mq_window_function two = c->two;
    const int32_t count = s->out_width;
    const int32_t step = s->stride_width;
    for (; rows > 0; rows--) {
        const uint32_t *window = map;
        for (const MQ_Y(mq_value) *end = y + count; y != end; window += step) {
            const mq_two_values both = two(window, &c->windows);
            y[count] = (MQ_Y(mq_value))mq_value_b(both);
            *y++ = (MQ_Y(mq_value))mq_value_a(both);
        }
        map += 2 * s->stride_height * width;
        y += count;
    }
}

/* `count` pairs of outputs side by side, whose windows begin `step` words of the map apart. */
MQ_OUT_OF_LINE void pairs_beside(const uint32_t *map, int32_t step, const channel *c, MQ_Y(mq_value) * y,
                                 int32_t count) {
    for (const MQ_Y(mq_value) *end = y + 2 * count; y != end; map += step) {
        const mq_two_values both = c->two(map, &c->windows);
        *y++ = (MQ_Y(mq_value))mq_value_a(both);
        *y++ = (MQ_Y(mq_value))mq_value_b(both);
    }
}

/* `count` outputs alone. */
MQ_OUT_OF_LINE void outputs_of(const uint32_t *map, int32_t step, const channel *c, MQ_Y(mq_value) * y, int32_t count) {
    for (const MQ_Y(mq_value) *end = y + count; y != end; map += step) {
        *y++ = (MQ_Y(mq_value))mq_value_a(c->two(map, &c->windows));
    }
}

/* All outputs of one channel. */
MQ_OUT_OF_LINE void multiply(const uint32_t *map, int32_t width, const channel *c, MQ_Y(mq_value) * y,
                             const mq_conv_shape *s) {
    const int32_t count = s->out_width;
    if (s->out_height == 1) {
        const int32_t pairs = count / 2;
        pairs_beside(map, 2 * s->stride_width, c, y, pairs);
        outputs_of(map + 2 * pairs * s->stride_width, 0, c, y + 2 * pairs, count - 2 * pairs);
        return;
    }
    const int32_t pairs = s->out_height / 2;
    pairs_above(map, width, c, y, s, pairs);
    outputs_of(map + 2 * pairs * s->stride_height * width, s->stride_width, c, y + 2 * pairs * count,
               (s->out_height - 2 * pairs) * count);
}

void MQ_DEPTHWISE(const int8_t *x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *map, const mq_conv_shape *s,
                  const mq_conv_params *p) {
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    uint32_t *pairs = (uint32_t *)(void *)map;
    mq_tap *taps = (mq_tap *)(void *)(pairs + height * width);
    const int8_t zero = (int8_t)p->x_zero;
    for (int32_t k = 0; k < height * width; k++) {
        pairs[k] = mq_pair(zero, zero);
    }
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t k = 0; k < s->groups; k++) {
            const int8_t *own = w + k * s->kernel_height * s->kernel_width;
            const mq_tap *end = mq_pair_taps(taps, own, s->kernel_height, s->kernel_width, s->dilation_height * width,
                                             s->dilation_width);
            const channel c = channel_of(taps, end, k, p);
            if (s->out_height == 1) {
                pad_beside(pairs, x, s, height, width, zero);
            } else {
                pad_above(pairs, x, s, height, width, zero);
            }
            multiply(pairs, width, &c, y, s);
            x += s->in_height * s->in_width;
            y += s->out_height * s->out_width;
        }
    }
}
