/* The convolutions with s8 weights from products of plain rows; mq_conv.h has the mathematics.
 *
 * Four windows at a time are laid out in `patch` as the rows of weights are, once for all outputs of their group. Then
 * they are the rows, and the weights of each output the vector: what an output needs is loaded once for four.
 * A file includes mq_plain_rows.h and defines MQ_CONV, the function's name, and MQ_X and MQ_Y, which end a name by the
 * format of x and y.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_window.h"
#include "mq_fixed.h"

/* Output o of `count` windows that follow each other. */
MQ_OUT_OF_LINE void finish(const int32_t *sums, int32_t o, uint32_t count, MQ_Y(mq_value) * y,
                           const mq_conv_params *p) {
    const int32_t bias = p->bias[o];
    const int32_t multiplier = p->multiplier[o];
    const int32_t shift = p->shift[o];
    for (const int32_t *end = sums + count; sums != end;) {
        const int32_t value = mq_requantise(*sums++ + bias, multiplier, shift);
        *y++ = (MQ_Y(mq_value))mq_clamp(p->y_zero + value, p->low, p->high);
    }
}

/* All outputs of the group that begins with output `first`, for `count` <= 4 windows that follow each other; y: the
 * place of the first window in the map of the first output. */
static void multiply(const MQ_X(mq_value) * patch, uint32_t columns, uint32_t count, const mq_weights *w, int32_t first,
                     MQ_Y(mq_value) * y, const mq_conv_shape *s, const mq_conv_params *p) {
    for (int32_t o = first; o < first + s->outputs; o++) {
        const mq_vector_s8 v = mq_vector_of_s8(w, columns);
        int32_t sums[4];
        MQ_X(mq_rows_of)(&v, patch, count, sums);
        finish(sums, o, count, y, p);
        w += columns;
        y += s->out_height * s->out_width;
    }
}

void MQ_CONV(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y, int16_t *patch, const mq_conv_shape *s,
             const mq_conv_params *p) {
    MQ_X(mq_value) *window = (MQ_X(mq_value) *)(void *)patch;
    const uint32_t columns = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    const int32_t windows = s->out_height * s->out_width;
    for (int32_t n = 0; n < s->batch; n++) {
        for (int32_t g = 0; g < s->groups; g++) {
            const mq_weights *group = mq_rows_from(w, (uint32_t)g, 0, (uint32_t)s->outputs, columns);
            for (int32_t at = 0, i = 0, j = 0; at < windows; at += 4) {
                const uint32_t count = windows - at < 4 ? (uint32_t)(windows - at) : 4u;
                for (uint32_t k = 0; k < count; k++) {
                    lay_out(window + k * columns, x, s, i * s->stride_height - s->pad_top,
                            j * s->stride_width - s->pad_left, p->x_zero);
                    j = j + 1 < s->out_width ? j + 1 : 0;
                    i += j == 0;
                }
                multiply(window, columns, count, group, g * s->outputs, y + at, s, p);
            }
            x += s->channels * s->in_height * s->in_width;
            y += s->outputs * windows;
        }
    }
}
