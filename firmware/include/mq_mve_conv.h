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
    return mq_patch_of_row(row, chunk, row > 512u ? 4u : (row > 128u ? 8u : MQ_WINDOWS));
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

#endif
