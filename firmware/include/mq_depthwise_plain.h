/* The depthwise convolutions with s8 weights on any core; mq_conv.h has the mathematics.
 *
 * One channel at a time is copied into `map` with its pads; then windows have no limits. Windows of 3 x 3 are written
 * out. A file defines MQ_DEPTHWISE, the function's name, and MQ_X and MQ_Y, which end a name by the format of x and y.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_fixed.h"
#include "mq_padded.h"

/* What the outputs of one channel share. `row`: values of the map from one row of a window to the next. */
typedef struct {
    int32_t nine[9]; /* the weights, widened, where there are nine */
    int32_t row;
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
    int32_t zero;
    int32_t low;
    int32_t high;
} channel;

static inline MQ_Y(mq_value) finish(int32_t acc, const channel *c) {
    return (MQ_Y(mq_value))mq_clamp(c->zero + mq_requantise(acc, c->multiplier, c->shift), c->low, c->high);
}

/* Sum over one window. */
static int32_t window(const int16_t *map, const int8_t *w, const channel *c, const mq_conv_shape *s) {
    int32_t acc = c->bias;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        const int16_t *x = map;
        for (const int8_t *end = w + s->kernel_width; w != end; x += s->dilation_width) {
            acc += (int32_t)*x * *w++;
        }
        map += c->row;
    }
    return acc;
}

/* A row of outputs with windows of 3 x 3, `stride` apart. */
MQ_OUT_OF_LINE void row_of_nine(const int16_t *map, int32_t stride, const channel *c, MQ_Y(mq_value) * y,
                                int32_t count) {
    const int32_t *w = c->nine;
    for (const MQ_Y(mq_value) *end = y + count; y != end; map += stride) {
        const int16_t *x = map;
        int32_t acc = c->bias + x[0] * w[0] + x[1] * w[1] + x[2] * w[2];
        x += c->row;
        acc += x[0] * w[3] + x[1] * w[4] + x[2] * w[5];
        x += c->row;
        acc += x[0] * w[6] + x[1] * w[7] + x[2] * w[8];
        *y++ = finish(acc, c);
    }
}

void MQ_DEPTHWISE(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *map, const mq_conv_shape *s,
                  const mq_conv_params *p) {
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    const int32_t taps = s->kernel_height * s->kernel_width;
    const int32_t is_nine = s->kernel_height == 3 && s->kernel_width == 3 && s->dilation_width == 1;
    mq_pads(map, height, width, p->x_zero);
    for (int32_t n = 0; n < s->batch; n++) {
        const int8_t *weights = w;
        for (int32_t k = 0; k < s->groups; k++) {
            channel c = {
                {0}, s->dilation_height * width, p->bias[k], p->multiplier[k], p->shift[k], p->y_zero, p->low, p->high};
            for (int32_t i = 0; is_nine && i < 9; i++) {
                c.nine[i] = weights[i];
            }
            MQ_X(mq_pad)(map, x, s, height, width);
            const int16_t *at = map;
            for (int32_t i = 0; i < s->out_height; i++) {
                if (is_nine) {
                    row_of_nine(at, s->stride_width, &c, y, s->out_width);
                } else {
                    for (int32_t j = 0; j < s->out_width; j++) {
                        y[j] = finish(window(at + j * s->stride_width, weights, &c, s), &c);
                    }
                }
                y += s->out_width;
                at += s->stride_height * width;
            }
            x += s->in_height * s->in_width;
            weights += taps;
        }
    }
}
