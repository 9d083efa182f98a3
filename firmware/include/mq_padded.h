/* A map with its surroundings, so that windows that slide over it need no limits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_PADDED_H
#define MQ_PADDED_H

#include "mq_conv.h"

/* Rows (columns) that all windows together read. */
static inline int32_t mq_padded_size(int32_t outputs, int32_t stride, int32_t kernel, int32_t dilation) {
    return (outputs - 1) * stride + (kernel - 1) * dilation + 1;
}

/* How many of `size` values lie in a row of `width` that has `pad` places before them. */
static inline int32_t mq_padded_inside(int32_t width, int32_t pad, int32_t size) {
    const int32_t end = width - pad;
    return end < 0 ? 0 : (end < size ? end : size);
}

/* What surrounds every channel: all of `map`, [height, width], and the value behind it. */
static inline void mq_pads(int16_t *map, int32_t height, int32_t width, int32_t zero) {
    for (int32_t k = 0; k <= height * width; k++) {
        map[k] = (int16_t)zero;
    }
}

/* One channel into the middle of the map. */
MQ_OUT_OF_LINE void mq_pad_s8(int16_t *map, const int8_t *x, const mq_conv_shape *s, int32_t height, int32_t width) {
    const int32_t rows = mq_padded_inside(height, s->pad_top, s->in_height);
    const int32_t columns = mq_padded_inside(width, s->pad_left, s->in_width);
    const int32_t rest = s->in_width - columns;
    map += s->pad_top * width + s->pad_left;
    for (int32_t i = 0; i < rows; i++) {
        int16_t *to = map;
        for (const int8_t *end = x + columns; x != end;) {
            *to++ = *x++;
        }
        x += rest;
        map += width;
    }
}

MQ_OUT_OF_LINE void mq_pad_s16(int16_t *map, const int16_t *x, const mq_conv_shape *s, int32_t height, int32_t width) {
    const int32_t rows = mq_padded_inside(height, s->pad_top, s->in_height);
    const int32_t columns = mq_padded_inside(width, s->pad_left, s->in_width);
    const int32_t rest = s->in_width - columns;
    map += s->pad_top * width + s->pad_left;
    for (int32_t i = 0; i < rows; i++) {
        int16_t *to = map;
        for (const int16_t *end = x + columns; x != end;) {
            *to++ = *x++;
        }
        x += rest;
        map += width;
    }
}

#endif
