/* Sums in f32 of values stored in f16; mq_conv.h has the mathematics and their order.
 *
 * A window is laid out in `patch` once for all outputs of its group, then multiplied with eight packed rows at a time
 * (mq_half_rows.h). Where a group is one channel and one output, the channel is laid out in f32 with its pads instead,
 * and a tap meets four outputs of a row. Taps outside add 0, where the plain loop leaves them out.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_f16
#include "mq_conv_window.h"
#include "mq_half_rows.h"
#include "mq_padded.h"

static inline mq_f16 finish(float acc, const mq_conv_float_params *p) {
    const float raised = acc < p->low ? p->low : acc;
    return mq_f32_to_f16(raised > p->high ? p->high : raised);
}

/* --- groups of several outputs or channels --- */

/* All outputs of group g for the window in `patch`; y: its place in the first map of the group. */
static void all_outputs(const mq_f16 *patch, const mq_f16 *w, const float *b, mq_f16 *y, int32_t g,
                        const mq_conv_shape *s, const mq_conv_float_params *p) {
    const uint32_t columns = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const uint32_t outputs = (uint32_t)s->outputs;
    const int32_t map = s->out_height * s->out_width;
    for (uint32_t o = 0; o < outputs; o += 8u) {
        const uint32_t count = outputs - o < 8u ? outputs - o : 8u;
        float sums[8];
        for (uint32_t k = 0; k < count; k++) {
            sums[k] = b ? b[(uint32_t)g * outputs + o + k] : 0.0f;
        }
        mq_half_rows(patch, columns, mq_half_rows_from(w, (uint32_t)g, o, outputs, columns), count, sums);
        for (uint32_t k = 0; k < count; k++) {
            *y = finish(sums[k], p);
            y += map;
        }
    }
}

static void by_windows(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch,
                       const mq_conv_shape *s, const mq_conv_float_params *p) {
    for (int32_t n = 0; n < s->batch * s->groups; n++) {
        for (int32_t i = 0; i < s->out_height; i++) {
            for (int32_t j = 0; j < s->out_width; j++) {
                lay_out(patch, x, s, i * s->stride_height - s->pad_top, j * s->stride_width - s->pad_left, 0);
                all_outputs(patch, w, b, y + i * s->out_width + j, n % s->groups, s, p);
            }
        }
        x += s->channels * s->in_height * s->in_width;
        y += s->outputs * s->out_height * s->out_width;
    }
}

/* --- groups of one channel and one output --- */

/* What the outputs of one channel share; `row`: values of the map from one row of a window to the next. */
typedef struct {
    const float *weights;
    float bias;
    int32_t row;
    const mq_conv_shape *s;
    const mq_conv_float_params *p;
} channel;

/* One channel into the middle of the map, [height, width]. */
static void pad(float *map, const mq_f16 *x, const mq_conv_shape *s, int32_t height, int32_t width) {
    const int32_t rows = mq_padded_inside(height, s->pad_top, s->in_height);
    const int32_t columns = mq_padded_inside(width, s->pad_left, s->in_width);
    for (int32_t i = 0; i < rows; i++) {
        float *to = map + (s->pad_top + i) * width + s->pad_left;
        for (int32_t j = 0; j < columns; j++) {
            to[j] = mq_f16_to_f32(x[j]);
        }
        x += s->in_width;
    }
}

/* Four outputs side by side. */
static void four_outputs(const float *map, const channel *c, mq_f16 *y) {
    const mq_conv_shape *s = c->s;
    const int32_t stride = s->stride_width;
    const float *w = c->weights;
    float first = c->bias, second = c->bias, third = c->bias, fourth = c->bias;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        const float *x = map + a * c->row;
        for (const float *end = w + s->kernel_width; w != end; x += s->dilation_width) {
            const float weight = *w++;
            first = mq_vmla(first, weight, x[0]);
            second = mq_vmla(second, weight, x[stride]);
            third = mq_vmla(third, weight, x[2 * stride]);
            fourth = mq_vmla(fourth, weight, x[3 * stride]);
        }
    }
    y[0] = finish(first, c->p);
    y[1] = finish(second, c->p);
    y[2] = finish(third, c->p);
    y[3] = finish(fourth, c->p);
}

static mq_f16 one_output(const float *map, const channel *c) {
    const mq_conv_shape *s = c->s;
    const float *w = c->weights;
    float acc = c->bias;
    for (int32_t a = 0; a < s->kernel_height; a++) {
        const float *x = map + a * c->row;
        for (const float *end = w + s->kernel_width; w != end; x += s->dilation_width) {
            acc = mq_vmla(acc, *w++, *x);
        }
    }
    return finish(acc, c->p);
}

/* A row of outputs. Of four or more the last four may be made twice. */
static void one_row(const float *map, const channel *c, mq_f16 *y) {
    const int32_t count = c->s->out_width, stride = c->s->stride_width;
    if (count < 4) {
        for (int32_t j = 0; j < count; j++) {
            y[j] = one_output(map + j * stride, c);
        }
        return;
    }
    for (int32_t j = 0; j < count; j += 4) {
        const int32_t first = j + 4 <= count ? j : count - 4;
        four_outputs(map + first * stride, c, y + first);
    }
}

static void by_channels(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch,
                        const mq_conv_shape *s, const mq_conv_float_params *p) {
    const int32_t height = mq_padded_size(s->out_height, s->stride_height, s->kernel_height, s->dilation_height);
    const int32_t width = mq_padded_size(s->out_width, s->stride_width, s->kernel_width, s->dilation_width);
    const int32_t taps = s->kernel_height * s->kernel_width;
    float *map = (float *)(void *)patch;
    float *weights = map + height * width;
    for (int32_t k = 0; k < height * width; k++) {
        map[k] = 0.0f;
    }
    for (int32_t n = 0; n < s->batch * s->groups; n++) {
        const int32_t g = n % s->groups;
        const mq_f16 *own = (const mq_f16 *)(const void *)mq_half_rows_from(w, (uint32_t)g, 0, 1, (uint32_t)taps);
        const channel c = {weights, b ? b[g] : 0.0f, s->dilation_height * width, s, p};
        for (int32_t k = 0; k < taps; k++) {
            weights[k] = mq_f16_to_f32(own[k]);
        }
        pad(map, x, s, height, width);
        for (int32_t i = 0; i < s->out_height; i++) {
            one_row(map + i * s->stride_height * width, &c, y);
            y += s->out_width;
        }
        x += s->in_height * s->in_width;
    }
}

void mq_conv_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch, const mq_conv_shape *s,
                 const mq_conv_float_params *p) {
    if (s->channels == 1 && s->outputs == 1) {
        by_channels(x, w, b, y, patch, s, p);
    } else {
        by_windows(x, w, b, y, patch, s, p);
    }
}
