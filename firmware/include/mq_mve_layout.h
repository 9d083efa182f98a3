/* Windows of a map laid out one behind the other on Helium, the channels of a tap side by side.
 *
 * Up to eight windows that are neighbours read neighbours (a stride apart) through each tap: of each channel one vector
 * is read, and its lanes are put where the tap lies in each window. Windows of rows with few of them are laid out one
 * by one, four channels of a tap at a time; where there is a single channel, the taps of one row are.
 * A file defines MQ_X, which ends a name by the format of x. SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"
#include "mq_mve_copies.h"
#include "mq_window.h"

/* Windows of a map: `row` elements of each, the places of eight of them in what is laid out and in x, and how many are
 * laid out together. */
typedef struct {
    const mq_conv_shape *s;
    uint32_t row;
    uint32_t together;
    uint16x8_t at;
    uint16x8_t steps;
    MQ_X(mq_value) zero;
} layout;

static layout layout_of(const mq_conv_shape *s, uint32_t row, MQ_X(mq_value) zero) {
    const int runs = s->channels == 1 && s->dilation_width == 1 && s->kernel_width > 1;
    const int fits = row < 8192u && s->stride_width < 8192; /* places of lanes have 16 bits */
    return (layout){s,
                    row,
                    s->out_width >= 4 && !runs && fits ? 8u : 1u,
                    mq_steps_of_eight(row),
                    mq_steps_of_eight((uint32_t)s->stride_width),
                    zero};
}

/* One tap of `count` windows; x: what the first of them reads, which is `left` of its row. */
static void lay_out_tap(MQ_X(mq_value) * to, const MQ_X(mq_value) * x, const layout *n, int32_t left, uint32_t count) {
    const mq_conv_shape *s = n->s;
    const uint32_t channels = (uint32_t)s->channels;
    const uint32_t plane = (uint32_t)(s->in_height * s->in_width);
    const mq_taps met = mq_taps_inside(left, s->stride_width, (int32_t)count, s->in_width);
    const mve_pred16_t all = vctp16q(count);
    const mve_pred16_t some = (mve_pred16_t)(vctp16q((uint32_t)met.end) & ~vctp16q((uint32_t)met.first));
    if (some != all) {
        MQ_X(mq_fill_lanes)(to, n->at, channels, n->zero, all);
    }
    if (some && s->stride_width == 1) {
        MQ_X(mq_spread)(to, n->at, x, channels, plane, some);
    } else if (some) {
        MQ_X(mq_spread_far)(to, n->at, x, n->steps, channels, plane, some);
    }
}

/* `count` <= 8 windows, the first of which is at (top, left). */
static void lay_out_row(MQ_X(mq_value) * to, const MQ_X(mq_value) * x, const layout *n, int32_t top, int32_t left,
                        uint32_t count) {
    const mq_conv_shape *s = n->s;
    const uint32_t taps = (uint32_t)(s->kernel_width * s->channels);
    for (int32_t a = 0; a < s->kernel_height; a++, top += s->dilation_height, to += taps) {
        if (top < 0 || top >= s->in_height) {
            MQ_X(mq_fill_lanes)(to, n->at, taps, n->zero, vctp16q(count));
            continue;
        }
        for (int32_t d = 0; d < s->kernel_width; d++) {
            const int32_t from = left + d * s->dilation_width;
            lay_out_tap(to + d * s->channels, x + top * s->in_width + from, n, from, count);
        }
    }
}

/* The window at (top, left). */
static void lay_out_one(MQ_X(mq_value) * to, const MQ_X(mq_value) * x, const layout *n, int32_t top, int32_t left) {
    const mq_conv_shape *s = n->s;
    const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
    const int32_t columns = h.end - h.first;
    const int32_t runs = v.end - v.first;
    const int32_t down = s->dilation_height * s->in_width;
    if (runs * columns < s->kernel_height * s->kernel_width) {
        const int32_t values = s->kernel_height * s->kernel_width * s->channels;
        for (int32_t k = 0; k < values; k++) {
            to[k] = n->zero;
        }
    }
    x += (top + v.first * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
    to += (v.first * s->kernel_width + h.first) * s->channels;
    if (s->channels == 1 && s->dilation_width == 1) {
        MQ_X(mq_put_runs)(to, x, (uint32_t)runs, (uint32_t)columns, (uint32_t)down, (uint32_t)s->kernel_width);
        return;
    }
    for (int32_t a = 0; a < runs; a++) {
        for (int32_t d = 0; d < columns; d++) {
            MQ_X(mq_put)(to + d * s->channels, x + d * s->dilation_width, (uint32_t)s->channels,
                         (uint32_t)(s->in_height * s->in_width));
        }
        to += s->kernel_width * s->channels;
        x += down;
    }
}

/* `count` windows from number `first` on. */
static void lay_out(MQ_X(mq_value) * to, const MQ_X(mq_value) * x, const layout *n, uint32_t first, uint32_t count) {
    const mq_conv_shape *s = n->s;
    const uint32_t width = (uint32_t)s->out_width;
    uint32_t i = first / width;
    uint32_t j = first % width;
    while (count) {
        const uint32_t in_row = width - j < n->together ? width - j : n->together;
        const uint32_t windows = in_row < count ? in_row : count;
        const int32_t top = (int32_t)i * s->stride_height - s->pad_top;
        const int32_t left = (int32_t)j * s->stride_width - s->pad_left;
        if (n->together == 1u) {
            lay_out_one(to, x, n, top, left);
        } else {
            lay_out_row(to, x, n, top, left, windows);
        }
        to += windows * n->row;
        count -= windows;
        j += windows;
        if (j == width) {
            j = 0;
            i++;
        }
    }
}
