/* The body of mq_conv_transpose_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CONV_TRANSPOSE_W8_H
#define MQ_CONV_TRANSPOSE_W8_H

#include "mq_conv_transpose.h"
#include "mq_w8.h"
#include "mq_window.h"

/* Sum of x * w over every tap in rows v and columns h, channel by channel. */
static float reached(const mq_real *x, const int8_t *w, const mq_conv_transpose_shape *s, mq_reach v, mq_reach h) {
    const int32_t plane = s->in_height * s->in_width;
    float acc = 0.0f;
    for (int32_t a = 0; a < v.count; a++) {
        int32_t at = (v.from - a * s->tap_move_height) * s->in_width + h.from;
        int32_t tap = (v.first + a * s->tap_step_height) * s->kernel_width + h.first;
        for (int32_t d = 0; d < h.count; d++) {
            const int8_t *run = w + tap * s->channels;
            for (int32_t c = 0; c < s->channels; c++) {
                acc += MQ_TO_F32(x[at + c * plane]) * (float)run[c];
            }
            at -= s->tap_move_width;
            tap += s->tap_step_width;
        }
    }
    return acc;
}

void MQ_KERNEL(const mq_real *x, const int8_t *w, mq_real *y, const mq_conv_transpose_shape *s,
               const mq_conv_transpose_scaled_params *p) {
    const int32_t maps = s->channels * s->in_height * s->in_width;
    const int32_t weights = s->kernel_height * s->kernel_width * s->channels;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t o = 0; o < s->groups * s->outputs; o++) {
            const mq_real *group = x + (n * s->groups + o / s->outputs) * maps;
            const int8_t *row = w + o * weights;
            for (int32_t i = 0; i < s->out_height; i++) {
                const mq_reach v =
                    mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height,
                                     s->in_height, s->tap_step_height, s->tap_move_height);
                for (int32_t j = 0; j < s->out_width; j++) {
                    const mq_reach h =
                        mq_taps_reaching(j + s->pad_left, s->stride_width, s->dilation_width, s->kernel_width,
                                         s->in_width, s->tap_step_width, s->tap_move_width);
                    const float sum = reached(group, row, s, v, h) * p->scale[o] + p->bias[o];
                    const float raised = sum < p->low ? p->low : sum;
                    const float value = raised > p->high ? p->high : raised;
                    *y++ = MQ_FROM_F32(value);
                }
            }
        }
    }
}

#endif
