/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_pool.h"

#include "mq_norm.h"
#include "mq_window.h"

/* The norm of the values under the window. */
static float length(const float *x, const mq_pool_shape *s, int32_t top, int32_t left, mq_taps v, mq_taps h,
                    int32_t norm) {
    float acc = 0.0f;
    for (int32_t a = v.first; a < v.end; a++) {
        const int32_t row = (top + a * s->dilation_height) * s->in_width + left;
        for (int32_t d = h.first; d < h.end; d++) {
            acc += mq_norm_term(x[row + d * s->dilation_width], norm);
        }
    }
    return mq_norm_root(acc, norm);
}

void mq_lp_pool_f32(const float *x, float *y, const mq_pool_shape *s, int32_t norm) {
    for (int32_t m = 0; m < s->maps; m++) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t top = i * s->stride_height - s->pad_top;
            const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t left = j * s->stride_width - s->pad_left;
                const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
                *y++ = length(x, s, top, left, v, h, norm);
            }
        }
        x += s->in_height * s->in_width;
    }
}
