/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"

#include "mq_fixed.h"
#include "mq_window.h"

/* Adds the products of every tap in rows v and columns h, channel by channel. */
static int32_t reached(int32_t acc, const int8_t *x, const int8_t *w, const mq_conv_transpose_shape *s, mq_reach v,
                       mq_reach h, int32_t x_zero) {
    const int32_t plane = s->in_height * s->in_width;
    for (int32_t a = 0; a < v.count; a++) {
        int32_t at = (v.from - a * s->tap_move_height) * s->in_width + h.from;
        int32_t tap = (v.first + a * s->tap_step_height) * s->kernel_width + h.first;
        for (int32_t d = 0; d < h.count; d++) {
            const int8_t *run = w + tap * s->channels;
            for (int32_t c = 0; c < s->channels; c++) {
                acc += (x[at + c * plane] - x_zero) * run[c];
            }
            at -= s->tap_move_width;
            tap += s->tap_step_width;
        }
    }
    return acc;
}

void mq_conv_transpose_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, const mq_conv_transpose_shape *s,
                              const mq_conv_transpose_params *p) {
    const int32_t maps = s->channels * s->in_height * s->in_width;
    const int32_t weights = s->kernel_height * s->kernel_width * s->channels;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t o = 0; o < s->groups * s->outputs; o++) {
            const int8_t *group = x + (n * s->groups + o / s->outputs) * maps;
            const int8_t *row = w + o * weights;
            for (int32_t i = 0; i < s->out_height; i++) {
                const mq_reach v =
                    mq_taps_reaching(i + s->pad_top, s->stride_height, s->dilation_height, s->kernel_height,
                                     s->in_height, s->tap_step_height, s->tap_move_height);
                for (int32_t j = 0; j < s->out_width; j++) {
                    const mq_reach h =
                        mq_taps_reaching(j + s->pad_left, s->stride_width, s->dilation_width, s->kernel_width,
                                         s->in_width, s->tap_step_width, s->tap_move_width);
                    const int32_t acc = reached(p->bias[o], group, row, s, v, h, p->x_zero);
                    const int32_t value = p->y_zero + mq_requantise(acc, p->multiplier[o], p->shift[o]);
                    *y++ = (int16_t)mq_clamp(value, p->low, p->high);
                }
            }
        }
    }
}
