/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"

#include "mq_float.h"
#include "mq_window.h"

/* Adds the products of every tap in rows v and columns h, channel by channel. */
static float reached(float acc, const mq_f16 *x, const mq_f16 *w, const mq_conv_transpose_shape *s, mq_reach v,
                     mq_reach h) {
    const int32_t plane = s->in_height * s->in_width;
    for (int32_t a = 0; a < v.count; a++) {
        int32_t at = (v.from - a * s->tap_move_height) * s->in_width + h.from;
        int32_t tap = (v.first + a * s->tap_step_height) * s->kernel_width + h.first;
        for (int32_t d = 0; d < h.count; d++) {
            const mq_f16 *run = w + tap * s->channels;
            for (int32_t c = 0; c < s->channels; c++) {
                acc += mq_f16_to_f32(x[at + c * plane]) * mq_f16_to_f32(run[c]);
            }
            at -= s->tap_move_width;
            tap += s->tap_step_width;
        }
    }
    return acc;
}

void mq_conv_transpose_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                           const mq_conv_transpose_shape *s, const mq_conv_transpose_float_params *p) {
    const int32_t maps = s->channels * s->in_height * s->in_width;
    const int32_t weights = s->kernel_height * s->kernel_width * s->channels;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t o = 0; o < s->groups * s->outputs; o++) {
            const mq_f16 *group = x + (n * s->groups + o / s->outputs) * maps;
            const mq_f16 *row = w + o * weights;
            for (int32_t i = 0; i < s->out_height; i++) {
                const mq_reach v =
                    mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height,
                                     s->in_height, s->tap_step_height, s->tap_move_height);
                for (int32_t j = 0; j < s->out_width; j++) {
                    const mq_reach h =
                        mq_taps_reaching(j + s->pad_left, s->stride_width, s->dilation_width, s->kernel_width,
                                         s->in_width, s->tap_step_width, s->tap_move_width);
                    const float acc = reached(b ? b[o] : 0.0f, group, row, s, v, h);
                    const float raised = acc < p->low ? p->low : acc;
                    const float value = raised > p->high ? p->high : raised;
                    *y++ = mq_f32_to_f16(value);
                }
            }
        }
    }
}
