/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_pool.h"

#include "mq_window.h"

/* The sum of the values under the window. */
static float sum(const float *x, const mq_pool_shape *s, int32_t top, int32_t left, mq_taps v, mq_taps h) {
    float acc = 0.0f;
    for (int32_t a = v.first; a < v.end; a++) {
        const int32_t row = (top + a * s->dilation_height) * s->in_width + left;
        for (int32_t d = h.first; d < h.end; d++) {
            acc += x[row + d * s->dilation_width];
        }
    }
    return acc;
}

/* Positions of a window of one axis that lie in the map widened by its margins. */
static int32_t counted(int32_t origin, int32_t dilation, int32_t kernel, int32_t size, int32_t before, int32_t after) {
    const mq_taps taps = mq_taps_inside(origin + before, dilation, kernel, before + size + after);
    return taps.end - taps.first;
}

void mq_average_pool_f32(const float *x, float *y, const mq_pool_shape *s, const mq_average_pool_float_params *p) {
    for (int32_t m = 0; m < s->maps; m++) {
        for (int32_t i = 0; i < s->out_height; i++) {
            const int32_t top = i * s->stride_height - s->pad_top;
            const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
            const int32_t rows =
                counted(top, s->dilation_height, s->kernel_height, s->in_height, p->margin_top, p->margin_bottom);
            for (int32_t j = 0; j < s->out_width; j++) {
                const int32_t left = j * s->stride_width - s->pad_left;
                const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
                const int32_t count = rows * counted(left, s->dilation_width, s->kernel_width, s->in_width,
                                                     p->margin_left, p->margin_right);
                *y++ = sum(x, s, top, left, v, h) / (float)count;
            }
        }
        x += s->in_height * s->in_width;
    }
}
