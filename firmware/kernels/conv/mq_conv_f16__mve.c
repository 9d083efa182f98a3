/* Half-precision products of eight windows with four outputs; mq_mve_half_maps.h has the rounding.
 *
 * Where a window has one tap and the maps of x and y are alike, x is read where it lies. Else eight windows are laid
 * out in `patch`, column after column. One channel and one output in each group: nothing is laid out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv.h"

#include "mq_mve_half_maps.h"
#include "mq_mve_windows.h"

/* All outputs of one group at eight places or less. `step`: elements from one column to the next. */
static void multiply(const mq_f16 *x, uint32_t columns, uint32_t step, mve_pred16_t some, const mq_f16 *w,
                     const float *b, uint32_t count, mq_f16 *y, const mq_conv_shape *s, const mq_conv_float_params *p) {
    const uint32_t outputs = (uint32_t)s->outputs;
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    uint32_t together;
    for (uint32_t o = 0; o < outputs; o += together) {
        float sums[8u * MQ_OUTPUTS_F16];
        together = mq_half_outputs(outputs - o);
        mq_half_biases(b ? b + o : NULL, together, sums);
        mq_half_maps(x, columns, w + o * columns, step, some, together, sums);
        mq_half_places(sums, together, count, p->low, p->high, map, y + o * map);
    }
}

static int is_pointwise(const mq_conv_shape *s) {
    return s->kernel_height == 1 && s->kernel_width == 1 && s->out_height == s->in_height &&
           s->out_width == s->in_width && s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 &&
           s->pad_left == 0;
}

/* One group of one image, read where it lies. */
static void pointwise(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, const mq_conv_shape *s,
                      const mq_conv_float_params *p) {
    const uint32_t map = (uint32_t)(s->in_height * s->in_width);
    for (uint32_t at = 0; at < map; at += 8u) {
        const uint32_t count = map - at < 8u ? map - at : 8u;
        multiply(x + at, (uint32_t)s->channels, map, vctp16q(count), w, b, count, y + at, s, p);
    }
}

/* Eight windows, [kernel_height, kernel_width, channels, 8]; taps outside the map are 0. */
static void lay_out(const mq_f16 *x, const mq_eight_windows *n, mq_f16 *patch, const mq_conv_shape *s) {
    const uint32_t map = (uint32_t)(s->in_height * s->in_width);
    for (int32_t a = 0; a < s->kernel_height; a++) {
        for (int32_t d = 0; d < s->kernel_width; d++) {
            const mve_pred16_t inside = mq_tap_inside(n, s, a, d);
            const mq_f16 *from = x + mq_tap_place(n, s, a, d);
            for (int32_t c = s->channels; c; c--) {
                vstrhq_u16(patch, vldrhq_gather_shifted_offset_z_u16(from, n->offsets, inside));
                from += map;
                patch += 8;
            }
        }
    }
}

static void windows(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch, const mq_conv_shape *s,
                    const mq_conv_float_params *p) {
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    const uint32_t columns = (uint32_t)(s->kernel_height * s->kernel_width * s->channels);
    uint32_t count;
    for (uint32_t at = 0; at < map; at += count) {
        const mq_eight_windows n = mq_eight_windows_of(s, at);
        count = n.count;
        lay_out(x, &n, patch, s);
        multiply(patch, columns, 8, 0xffffu, w, b, count, y + at, s, p);
    }
}

/* Channels whose sums lie on the stack. */
#define MQ_CHANNELS 16u

/* Adds some taps, from `first` on, to the sums of some channels. */
static void taps(const mq_f16 *x, const mq_eight_windows *n, const mq_f16 *w, uint32_t first, uint32_t some,
                 float *sums, const mq_conv_shape *s) {
    const uint32_t map = (uint32_t)(s->in_height * s->in_width);
    const uint32_t every = (uint32_t)(s->kernel_height * s->kernel_width);
    const uint32_t count = every - first < MQ_TERMS ? every - first : MQ_TERMS;
    mq_half_tap places[MQ_TERMS];
    for (uint32_t k = 0; k < count; k++) {
        const int32_t a = (int32_t)(first + k) / s->kernel_width;
        const int32_t d = (int32_t)(first + k) % s->kernel_width;
        places[k] = (mq_half_tap){mq_tap_place(n, s, a, d), mq_tap_inside(n, s, a, d)};
    }
    for (uint32_t k = 0; k < some; k++) {
        mq_half_taps(x + k * map, n->offsets, places, count, w + k * every + first, sums + 8u * k);
    }
}

/* All channels of one image, each with an output of its own. */
static void depthwise(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, const mq_conv_shape *s,
                      const mq_conv_float_params *p) {
    const uint32_t map = (uint32_t)(s->out_height * s->out_width);
    const uint32_t in_map = (uint32_t)(s->in_height * s->in_width);
    const uint32_t every = (uint32_t)(s->kernel_height * s->kernel_width);
    const uint32_t channels = (uint32_t)s->groups;
    uint32_t count;
    for (uint32_t at = 0; at < map; at += count) {
        const mq_eight_windows n = mq_eight_windows_of(s, at);
        count = n.count;
        for (uint32_t k = 0; k < channels; k += MQ_CHANNELS) {
            const uint32_t some = channels - k < MQ_CHANNELS ? channels - k : MQ_CHANNELS;
            float sums[8u * MQ_CHANNELS];
            mq_half_biases(b ? b + k : NULL, some, sums);
            for (uint32_t first = 0; first < every; first += MQ_TERMS) {
                taps(x + k * in_map, &n, w + k * every, first, some, sums, s);
            }
            mq_half_places(sums, some, count, p->low, p->high, map, y + k * map + at);
        }
    }
}

void mq_conv_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y, mq_f16 *patch, const mq_conv_shape *s,
                 const mq_conv_float_params *p) {
    const size_t in_size = (size_t)s->channels * (size_t)(s->in_height * s->in_width);
    const size_t out_size = (size_t)s->outputs * (size_t)(s->out_height * s->out_width);
    const size_t weights = (size_t)s->outputs * (size_t)(s->kernel_height * s->kernel_width * s->channels);
    for (int32_t n = 0; n < s->batch; n++) {
        if (s->channels == 1 && s->outputs == 1) {
            depthwise(x, w, b, y, s, p);
            x += (size_t)s->groups * in_size;
            y += (size_t)s->groups * out_size;
            continue;
        }
        for (int32_t g = 0; g < s->groups; g++) {
            const mq_f16 *group = w + (size_t)g * weights;
            const float *bias = b ? b + g * s->outputs : NULL;
            if (is_pointwise(s)) {
                pointwise(x, group, bias, y, s, p);
            } else {
                windows(x, group, bias, y, patch, s, p);
            }
            x += in_size;
            y += out_size;
        }
    }
}
