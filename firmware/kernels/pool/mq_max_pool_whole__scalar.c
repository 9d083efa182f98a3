/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_pool.h"

#include "mq_whole_types.h"
#include "mq_window.h"

/* The largest value under the window; `map` is where its map begins. */
static int64_t largest(const void *x, int32_t map, const mq_pool_shape *s, int32_t top, int32_t left, mq_taps v,
                       mq_taps h, int32_t type) {
    const int32_t start = map + (top + v.first * s->dilation_height) * s->in_width + left;
    int64_t best = mq_whole_load(x, start + h.first * s->dilation_width, type);
    for (int32_t a = v.first; a < v.end; a++) {
        const int32_t row = map + (top + a * s->dilation_height) * s->in_width + left;
        for (int32_t d = h.first; d < h.end; d++) {
            const int64_t value = mq_whole_load(x, row + d * s->dilation_width, type);
            best = value > best ? value : best;
        }
    }
    return best;
}

void mq_max_pool_whole(const void *x, void *y, const mq_pool_shape *s, int32_t type) {
    int32_t at = 0;
    for (int32_t m = 0; m < s->maps; m++) {
        const int32_t map = m * s->in_height * s->in_width;
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t top = i * s->stride_height - s->pad_top;
            const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t left = j * s->stride_width - s->pad_left;
                const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
                mq_whole_store(y, at++, type, largest(x, map, s, top, left, v, h, type));
            }
        }
    }
}
