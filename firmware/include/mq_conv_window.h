/* What one window of a convolution reads, laid out as a row of weights is; mq_conv.h has the mathematics.
 *
 * A file defines MQ_X, which ends a name by the format of x.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_window.h"

/* Puts the window at (top, left) into `patch`, `zero` where it lies outside the map. */
static void lay_out(MQ_X(mq_value) * patch, const MQ_X(mq_value) * x, const mq_conv_shape *s, int32_t top, int32_t left,
                    int32_t zero) {
    const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
    const int32_t columns = h.end - h.first;
    const int32_t map = s->in_height * s->in_width;
    if ((v.end - v.first) * columns < s->kernel_height * s->kernel_width) {
        for (int32_t k = s->kernel_height * s->kernel_width * s->channels; k > 0; k--) {
            patch[k - 1] = (MQ_X(mq_value))zero;
        }
    }
    for (int32_t a = v.first; a < v.end; a++) {
        const MQ_X(mq_value) *tap =
            x + (top + a * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
        MQ_X(mq_value) *to = patch + (a * s->kernel_width + h.first) * s->channels;
        for (int32_t d = 0; d < columns; d++) {
            const MQ_X(mq_value) *from = tap;
            for (MQ_X(mq_value) *end = to + s->channels; to != end; from += map) {
                *to++ = *from;
            }
            tap += s->dilation_width;
        }
    }
}
