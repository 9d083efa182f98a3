/* The body of mq_conv_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CONV_W8_H
#define MQ_CONV_W8_H

#include "mq_conv.h"
#include "mq_w8.h"
#include "mq_window.h"

/* Sum of x * w over the taps inside the map, rows v and columns h of the window that starts at (top, left). One run of
 * products is the channels of one tap or, where there is a single channel, the taps of one row. */
static float inside(const mq_real *x, const int8_t *w, const mq_conv_shape *s, int32_t top, int32_t left, mq_taps v,
                    mq_taps h) {
    const int32_t columns = h.end - h.first;
    const int32_t runs = s->channels == 1 ? 1 : columns;
    const int32_t length = s->channels == 1 ? columns : s->channels;
    const int32_t step = s->channels == 1 ? s->dilation_width : s->in_height * s->in_width;
    float acc = 0.0f;
    for (int32_t a = v.first; a < v.end; a++) {
        int32_t at = (top + a * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
        const int8_t *run = w + (a * s->kernel_width + h.first) * s->channels;
        for (int32_t r = 0; r < runs; r++) {
            for (int32_t i = 0; i < length; i++) {
                acc += MQ_TO_F32(x[at + i * step]) * (float)run[i];
            }
            at += s->dilation_width;
            run += s->channels;
        }
    }
    return acc;
}

void MQ_KERNEL(const mq_real *x, const int8_t *w, mq_real *y, const mq_conv_shape *s, const mq_conv_scaled_params *p) {
    const int32_t maps = s->channels * s->in_height * s->in_width;
    const int32_t weights = s->kernel_height * s->kernel_width * s->channels;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t o = 0; o < s->groups * s->outputs; o++) {
            const mq_real *group = x + (n * s->groups + o / s->outputs) * maps;
            const int8_t *row = w + o * weights;
            for (int32_t i = 0; i < s->out_height; i++) {
                const int32_t top = i * s->stride_height - s->pad_top;
                const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
                for (int32_t j = 0; j < s->out_width; j++) {
                    const int32_t left = j * s->stride_width - s->pad_left;
                    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
                    const float sum = inside(group, row, s, top, left, v, h) * p->scale[o] + p->bias[o];
                    const float raised = sum < p->low ? p->low : sum;
                    const float value = raised > p->high ? p->high : raised;
                    *y++ = MQ_FROM_F32(value);
                }
            }
        }
    }
}

#endif
