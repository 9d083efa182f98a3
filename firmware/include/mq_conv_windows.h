/* What windows of a convolution read, laid out two at a time; mq_conv.h has the mathematics.
 *
 * A file defines MQ_PATCH, what a patch consists of, and MQ_X, which ends a name by the format of x; it includes this
 * header, and says with put and put_one where the values of two windows go.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"

/* Where values that go to neighbouring columns are read. */
typedef struct {
    const MQ_X(mq_value) * at;
    int32_t step;
} run;

/* Puts `length` values of both windows at columns k, k + 1, ... */
static void put(MQ_PATCH *patch, uint32_t k, run a, run b, int32_t length);

/* Puts one value of each at column k. */
static inline void put_one(MQ_PATCH *patch, uint32_t k, int32_t a, int32_t b);

/* What the windows of a map share. */
typedef struct {
    const MQ_X(mq_value) * x;
    const mq_conv_shape *s;
    int32_t map;
    MQ_X(mq_value) zero;
} source;

/* The channels of the tap at (i, j): as many zeros where it lies outside. */
static inline run tap(const source *from, int32_t i, int32_t j) {
    const mq_conv_shape *s = from->s;
    const int32_t is_inside = (uint32_t)i < (uint32_t)s->in_height && (uint32_t)j < (uint32_t)s->in_width;
    const run found = {is_inside ? from->x + i * s->in_width + j : &from->zero, is_inside ? from->map : 0};
    return found;
}

/* Where a window begins. */
typedef struct {
    int32_t i;
    int32_t j;
} place;

static inline place after(place at, const mq_conv_shape *s) {
    at.j += s->stride_width;
    if (at.j >= s->out_width * s->stride_width - s->pad_left) {
        at.j = -s->pad_left;
        at.i += s->stride_height;
    }
    return at;
}

/* Whether every tap of a row of the window lies inside. */
static inline int32_t is_whole(const mq_conv_shape *s, place at) {
    return (uint32_t)at.i < (uint32_t)s->in_height && at.j >= 0 &&
           at.j + (s->kernel_width - 1) * s->dilation_width < s->in_width;
}

/* The taps of a row of two windows over a single channel, some of them outside. */
static void put_edge(MQ_PATCH *patch, uint32_t k, const source *from, place here, place next) {
    const mq_conv_shape *s = from->s;
    const MQ_X(mq_value) *row = from->x + here.i * s->in_width;
    const MQ_X(mq_value) *row_next = from->x + next.i * s->in_width;
    const uint32_t width = (uint32_t)here.i < (uint32_t)s->in_height ? (uint32_t)s->in_width : 0u;
    const uint32_t width_next = (uint32_t)next.i < (uint32_t)s->in_height ? (uint32_t)s->in_width : 0u;
    for (const uint32_t end = k + (uint32_t)s->kernel_width; k != end; k++) {
        put_one(patch, k, (uint32_t)here.j < width ? row[here.j] : from->zero,
                (uint32_t)next.j < width_next ? row_next[next.j] : from->zero);
        here.j += s->dilation_width;
        next.j += s->dilation_width;
    }
}

/* Lays out two windows: the channels of one tap or, where there is a single channel, the taps of one row are one run.
 */
static void lay_out(MQ_PATCH *patch, const source *from, place here, place next) {
    const mq_conv_shape *s = from->s;
    uint32_t k = 0;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        if (s->channels != 1) {
            for (int32_t d = 0; d < s->kernel_width * s->dilation_width; d += s->dilation_width) {
                put(patch, k, tap(from, here.i, here.j + d), tap(from, next.i, next.j + d), s->channels);
                k += (uint32_t)s->channels;
            }
        } else {
            if (is_whole(s, here) && is_whole(s, next)) {
                const run row = {from->x + here.i * s->in_width + here.j, s->dilation_width};
                const run row_next = {from->x + next.i * s->in_width + next.j, s->dilation_width};
                put(patch, k, row, row_next, s->kernel_width);
            } else {
                put_edge(patch, k, from, here, next);
            }
            k += (uint32_t)s->kernel_width;
        }
        here.i += s->dilation_height;
        next.i += s->dilation_height;
    }
}
