/* One channel at a time, copied into `map` with its pads; then windows have no limits. SPDX-License-Identifier:
 * Apache-2.0 */
#include "mq_conv.h"

#include "mq_fixed.h"
#include "mq_padded.h"

/* Sum over one window. */
static int32_t window(const int16_t *map, const int8_t *w, int32_t width, const mq_conv_shape *s) {
    int32_t acc = 0;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        for (int32_t d = 0; d < s->kernel_width; d++) {
            acc += (int32_t)map[d * s->dilation_width] * *w++;
        }
        map += s->dilation_height * width;
    }
    return acc;
}

void mq_depthwise_s16(const int16_t *x, const int8_t *w, int16_t *y, int16_t *map, const mq_conv_shape *s,
                      const mq_conv_params *p) {
    const mq_conv_params q = *p; /* a copy, which y cannot overlap */
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    const int32_t taps = s->kernel_height * s->kernel_width;
    mq_pads(map, height, width, 0);
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t c = 0; c < s->groups; c++) {
            const int8_t *weights = w + c * taps;
            const int32_t bias = q.bias[c];
            const int32_t multiplier = q.multiplier[c];
            const int32_t shift = q.shift[c];
            mq_pad_s16(map, x, s, height, width);
            for (int32_t i = 0; i < s->out_height; i++) {
                const int16_t *at = map + i * s->stride_height * width;
                for (int32_t j = 0; j < s->out_width; j++) {
                    const int32_t acc = bias + (window(at, weights, width, s));
                    const int32_t value = q.y_zero + mq_requantise(acc, multiplier, shift);
                    *y++ = (int16_t)mq_clamp(value, q.low, q.high);
                    at += s->stride_width;
                }
            }
            x += s->in_height * s->in_width;
        }
    }
}
