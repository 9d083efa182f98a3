/* Convolutions on Helium: windows are laid out one behind the other, then multiplied with packed blocks of four rows
 * (mq_mve_blocks.h). SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_CONV_H
#define MQ_MVE_CONV_H

#include "mq_conv.h"
#include "mq_mve_blocks.h"
#include "mq_mve_scale.h"
#include "mq_window.h"

/* Windows that are laid out at a time, at most; mcu_quant/ops/conv.py has the same rule. */
#define MQ_WINDOWS 16u

static inline mq_patch mq_patch_of(const mq_conv_shape *s, uint32_t chunk) {
    const uint32_t row = mq_row_bytes((uint32_t)(s->kernel_height * s->kernel_width * s->channels), chunk);
    return mq_patch_of_row(row, chunk, row > 128u ? 4u : MQ_WINDOWS);
}

/* Has a window a single tap, and is the map of outputs that of inputs? */
static inline int mq_side_by_side(const mq_conv_shape *s) {
    return s->kernel_height == 1 && s->kernel_width == 1 && s->out_height == s->in_height &&
           s->out_width == s->in_width && s->stride_height == 1 && s->stride_width == 1 && s->pad_top == 0 &&
           s->pad_left == 0;
}

/* How sums of a block of rows become outputs, and where the outputs of a window lie. */
typedef struct {
    int32x4_t bias;
    int32x4_t left;
    int32x4_t multiplier;
    int32x4_t right;
    uint32x4_t at;
    mq_limits limits;
} mq_finish;

/* The next `rows` <= 4 outputs from o on, whose maps have `map` places. */
static inline mq_finish mq_finish_of(const mq_conv_params *p, uint32_t o, uint32_t rows, uint32_t map) {
    const mve_pred16_t some = vctp32q(rows);
    const int32x4_t shift = vldrbq_z_s32(p->shift + o, some);
    const int32x4_t none = vdupq_n_s32(0);
    const uint32_t at[4] = {0, map, 2u * map, 3u * map};
    mq_finish f;
    f.bias = vldrwq_z_s32(p->bias + o, some);
    f.left = vmaxq_s32(shift, none);
    f.multiplier = vldrwq_z_s32(p->multiplier + o, some);
    f.right = vsubq_n_s32(vminq_s32(shift, none), 1);
    f.at = vldrwq_u32(at);
    f.limits = mq_limits_of(p->y_zero, p->low, p->high);
    return f;
}

static inline int32x4_t mq_finished(int32x4_t sums, const mq_finish *f) {
    const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(vaddq_s32(sums, f->bias), f->left), f->multiplier);
    return mq_limited(vrshlq_s32(wide, f->right), &f->limits);
}

/* Outputs of `count` windows, of the first `rows` rows of the block. */
MQ_OUT_OF_LINE void mq_finish_s8(const int32_t *sums, uint32_t count, uint32_t rows, const mq_finish *f, int8_t *y) {
    const mq_finish c = *f; /* a copy, which y cannot overlap */
    if (rows < 4u) {
        for (; count; count--, sums += 4) {
            vstrbq_scatter_offset_p_s32(y++, c.at, mq_finished(vldrwq_s32(sums), &c), vctp32q(rows));
        }
        return;
    }
    for (; count; count--, sums += 4) {
        vstrbq_scatter_offset_s32(y++, c.at, mq_finished(vldrwq_s32(sums), &c));
    }
}

/* Outputs of `count` windows, of the first `rows` rows of the block. */
MQ_OUT_OF_LINE void mq_finish_s16(const int32_t *sums, uint32_t count, uint32_t rows, const mq_finish *f, int16_t *y) {
    const mq_finish c = *f; /* a copy, which y cannot overlap */
    if (rows < 4u) {
        for (; count; count--, sums += 4) {
            vstrhq_scatter_shifted_offset_p_s32(y++, c.at, mq_finished(vldrwq_s32(sums), &c), vctp32q(rows));
        }
        return;
    }
    for (; count; count--, sums += 4) {
        vstrhq_scatter_shifted_offset_s32(y++, c.at, mq_finished(vldrwq_s32(sums), &c));
    }
}

/* A vector at a time of `runs` >= 1 runs, of which the lanes in `some` are copied. In assembly where there is Helium:
 * compilers set the predicate anew for each load and store. */
#if defined(__ARM_FEATURE_MVE)

#define MQ_PUT_COLUMN(name, value, load, store, vector_load, vector_store)                                             \
    static inline void name(value *to, const value *from, uint32_t runs, uint32_t x_step, uint32_t step,               \
                            mve_pred16_t some) {                                                                       \
        __asm__ volatile(                                                                                              \
            "vmsr p0, %[some]\n\tdls lr, %[runs]\n1:\n\tvpstt\n\t" load " q0, [%[from]]\n\t" store                     \
            " q0, [%[to]]\n\tadd %[from], %[from], %[x_step]\n\tadd %[to], %[to], %[step]\n\tle lr, 1b"                \
            : [from] "+r"(from), [to] "+r"(to)                                                                         \
            : [runs] "r"(runs), [x_step] "r"(x_step * sizeof *to), [step] "r"(step * sizeof *to), [some] "r"(some)     \
            : "q0", "lr", "memory");                                                                                   \
    }

#else

#define MQ_PUT_COLUMN(name, value, load, store, vector_load, vector_store)                                             \
    static inline void name(value *to, const value *from, uint32_t runs, uint32_t x_step, uint32_t step,               \
                            mve_pred16_t some) {                                                                       \
        for (; runs; runs--, from += x_step, to += step) {                                                             \
            vector_store(to, vector_load(from, some), some);                                                           \
        }                                                                                                              \
    }

#endif

MQ_PUT_COLUMN(mq_put_column_s8, int8_t, "vldrbt.u8", "vstrbt.8", vldrbq_z_s8, vstrbq_p_s8)
MQ_PUT_COLUMN(mq_put_column_s16, int16_t, "vldrht.u16", "vstrht.16", vldrhq_z_s16, vstrhq_p_s16)

/* `runs` runs of `length` values side by side; `x_step` and `step` from one run to the next. */
static inline void mq_put_runs_s8(int8_t *to, const int8_t *x, uint32_t runs, uint32_t length, uint32_t x_step,
                                  uint32_t step) {
    for (uint32_t k = 0; k < length && runs; k += 16u) {
        mq_put_column_s8(to + k, x + k, runs, x_step, step, vctp8q(length - k));
    }
}

/* `length` values, `x_step` apart, put side by side. */
static inline void mq_put_s8(int8_t *to, const int8_t *x, uint32_t length, uint32_t x_step) {
    const uint32_t offsets[4] = {0, x_step, 2u * x_step, 3u * x_step};
    const uint32x4_t at = vldrwq_u32(offsets);
    for (uint32_t fours = length >> 2; fours; fours--) {
        vstrbq_s32(to, vldrbq_gather_offset_s32(x, at));
        x += 4u * x_step;
        to += 4;
    }
    if (length & 3u) {
        const mve_pred16_t some = vctp32q(length & 3u);
        vstrbq_p_s32(to, vldrbq_gather_offset_z_s32(x, at, some), some);
    }
}

/* Lays out `count` windows of one tap that stand side by side: `channels` times `count` values, transposed. */
static inline void mq_lay_out_points_s8(int8_t *patch, const int8_t *x, uint32_t channels, uint32_t map, uint32_t row,
                                        uint32_t count) {
    uint16_t offsets[8];
    for (uint32_t k = 0; k < 8u; k++) {
        offsets[k] = (uint16_t)(k * row);
    }
    const uint16x8_t at = vldrhq_u16(offsets);
    for (; count; x += 8, patch += 8u * row) {
        const uint32_t some = count < 8u ? count : 8u;
        const mve_pred16_t lanes = vctp16q(some);
        const int8_t *from = x;
        int8_t *to = patch;
        for (uint32_t c = channels; c; c--) {
            vstrbq_scatter_offset_p_s16(to, at, vldrbq_z_s16(from, lanes), lanes);
            from += map;
            to++;
        }
        count -= some;
    }
}

/* Lays out the window at (top, left). The channels of one tap are one run; where there is a single channel, the taps of
 * one row are. */
MQ_OUT_OF_LINE void mq_lay_out_s8(int8_t *patch, const int8_t *x, const mq_conv_shape *s, int32_t top, int32_t left,
                                  int8_t zero) {
    const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
    const int32_t columns = h.end - h.first;
    if ((v.end - v.first) * columns < s->kernel_height * s->kernel_width) {
        const int32_t values = s->kernel_height * s->kernel_width * s->channels;
        for (int32_t k = 0; k < values; k++) {
            patch[k] = zero;
        }
    }
    const int32_t runs = v.end - v.first;
    const int32_t down = s->dilation_height * s->in_width;
    x += (top + v.first * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
    patch += (v.first * s->kernel_width + h.first) * s->channels;
    if (s->channels == 1 && s->dilation_width == 1) {
        mq_put_runs_s8(patch, x, (uint32_t)runs, (uint32_t)columns, (uint32_t)down, (uint32_t)s->kernel_width);
        return;
    }
    for (int32_t a = 0; a < runs; a++) {
        for (int32_t d = 0; d < columns; d++) {
            mq_put_s8(patch + d * s->channels, x + d * s->dilation_width, (uint32_t)s->channels,
                      (uint32_t)(s->in_height * s->in_width));
        }
        patch += s->kernel_width * s->channels;
        x += down;
    }
}

static inline void mq_put_runs_s16(int16_t *to, const int16_t *x, uint32_t runs, uint32_t length, uint32_t x_step,
                                   uint32_t step) {
    for (uint32_t k = 0; k < length && runs; k += 8u) {
        mq_put_column_s16(to + k, x + k, runs, x_step, step, vctp16q(length - k));
    }
}

/* `length` values, `x_step` apart, put side by side. */
static inline void mq_put_s16(int16_t *to, const int16_t *x, uint32_t length, uint32_t x_step) {
    const uint32_t offsets[4] = {0, x_step, 2u * x_step, 3u * x_step};
    const uint32x4_t at = vldrwq_u32(offsets);
    for (uint32_t fours = length >> 2; fours; fours--) {
        vstrhq_s32(to, vldrhq_gather_shifted_offset_s32(x, at));
        x += 4u * x_step;
        to += 4;
    }
    if (length & 3u) {
        const mve_pred16_t some = vctp32q(length & 3u);
        vstrhq_p_s32(to, vldrhq_gather_shifted_offset_z_s32(x, at, some), some);
    }
}

/* Lays out `count` windows of one tap that stand side by side: `channels` times `count` values, transposed. */
static inline void mq_lay_out_points_s16(int16_t *patch, const int16_t *x, uint32_t channels, uint32_t map,
                                         uint32_t row, uint32_t count) {
    uint16_t offsets[8];
    for (uint32_t k = 0; k < 8u; k++) {
        offsets[k] = (uint16_t)(k * row);
    }
    const uint16x8_t at = vldrhq_u16(offsets);
    for (; count; x += 8, patch += 8u * row) {
        const uint32_t some = count < 8u ? count : 8u;
        const mve_pred16_t lanes = vctp16q(some);
        const int16_t *from = x;
        int16_t *to = patch;
        for (uint32_t c = channels; c; c--) {
            vstrhq_scatter_shifted_offset_p_s16(to, at, vldrhq_z_s16(from, lanes), lanes);
            from += map;
            to++;
        }
        count -= some;
    }
}

/* Lays out the window at (top, left). The channels of one tap are one run; where there is a single channel, the taps of
 * one row are. */
MQ_OUT_OF_LINE void mq_lay_out_s16(int16_t *patch, const int16_t *x, const mq_conv_shape *s, int32_t top, int32_t left,
                                   int16_t zero) {
    const mq_taps v = mq_taps_inside(top, s->dilation_height, s->kernel_height, s->in_height);
    const mq_taps h = mq_taps_inside(left, s->dilation_width, s->kernel_width, s->in_width);
    const int32_t columns = h.end - h.first;
    if ((v.end - v.first) * columns < s->kernel_height * s->kernel_width) {
        const int32_t values = s->kernel_height * s->kernel_width * s->channels;
        for (int32_t k = 0; k < values; k++) {
            patch[k] = zero;
        }
    }
    const int32_t runs = v.end - v.first;
    const int32_t down = s->dilation_height * s->in_width;
    x += (top + v.first * s->dilation_height) * s->in_width + left + h.first * s->dilation_width;
    patch += (v.first * s->kernel_width + h.first) * s->channels;
    if (s->channels == 1 && s->dilation_width == 1) {
        mq_put_runs_s16(patch, x, (uint32_t)runs, (uint32_t)columns, (uint32_t)down, (uint32_t)s->kernel_width);
        return;
    }
    for (int32_t a = 0; a < runs; a++) {
        for (int32_t d = 0; d < columns; d++) {
            mq_put_s16(patch + d * s->channels, x + d * s->dilation_width, (uint32_t)s->channels,
                       (uint32_t)(s->in_height * s->in_width));
        }
        patch += s->kernel_width * s->channels;
        x += down;
    }
}

#endif
