/* From 32-bit sums to stored results, for Helium: y = clamp(zero + requantise(sum, m, shift), low, high).
 *
 * requantise (mq_fixed.h) without a case for the sign of the shift: with t = vqdmulh(sat(sum 2^max(shift, 0)), m),
 * which is the product rounded down to 2^-31, the result is t 2^(min(shift, 0) - 1) rounded half up. What is rounded
 * down before a rounding shift cannot change its result. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_SCALE_H
#define MQ_MVE_SCALE_H

#include "mq_mve.h"

static inline int32x4_t mq_requantise_s32(int32x4_t sum, int32x4_t multiplier, int32x4_t shift) {
    const int32x4_t none = vdupq_n_s32(0);
    const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(sum, vmaxq_s32(shift, none)), multiplier);
    return vrshlq_s32(wide, vsubq_n_s32(vminq_s32(shift, none), 1));
}

/* Four values as mq_sat_s16 of mq_requantise makes them, in lanes of 32 bits. */
static inline int32x4_t mq_narrow_lanes(int32x4_t x, int32_t m, int32x4_t shift) {
    const int32x4_t value = mq_requantise_s32(x, vdupq_n_s32(m), shift);
    return vminq_s32(vmaxq_s32(value, vdupq_n_s32(-32768)), vdupq_n_s32(32767));
}

/* `count` sums in place, each row with a scale of its own. Of `sums`, whole vectors are used. */
MQ_OUT_OF_LINE void mq_requantise_rows(int32_t *sums, const int32_t *multiplier, const int8_t *shift, uint32_t count) {
    for (uint32_t fours = count >> 2; fours; fours--) {
        vstrwq_s32(sums, mq_requantise_s32(vldrwq_s32(sums), vldrwq_s32(multiplier), vldrbq_s32(shift)));
        sums += 4;
        multiplier += 4;
        shift += 4;
    }
    if (count & 3u) {
        const mve_pred16_t some = vctp32q(count & 3u);
        const int32x4_t m = vldrwq_z_s32(multiplier, some);
        vstrwq_s32(sums, mq_requantise_s32(vldrwq_s32(sums), m, vldrbq_z_s32(shift, some)));
    }
}

/* What outputs become. */
typedef struct {
    int32_t zero;
    int32x4_t low;
    int32x4_t high;
} mq_limits;

static inline mq_limits mq_limits_of(int32_t zero, int32_t low, int32_t high) {
    return (mq_limits){zero, vdupq_n_s32(low), vdupq_n_s32(high)};
}

static inline int32x4_t mq_limited(int32x4_t value, const mq_limits *l) {
    return vminq_s32(vmaxq_s32(vaddq_n_s32(value, l->zero), l->low), l->high);
}

/* One scale for all lanes: y = clamp(zero + requantise(x - x_zero, m, shift), low, high). */
typedef struct {
    int32_t x_zero;
    int32_t left;
    int32_t multiplier;
    int32_t right;
    mq_limits limits;
} mq_to_scale;

static inline mq_to_scale mq_to_scale_within(int32_t x_zero, int32_t multiplier, int32_t shift, mq_limits limits) {
    return (mq_to_scale){x_zero, shift > 0 ? shift : 0, multiplier, shift < 0 ? shift - 1 : -1, limits};
}

static inline mq_to_scale mq_to_scale_of(int32_t x_zero, int32_t multiplier, int32_t shift, int32_t y_zero, int32_t low,
                                         int32_t high) {
    return mq_to_scale_within(x_zero, multiplier, shift, mq_limits_of(y_zero, low, high));
}

/* requantise(x, m, shift). */
static inline int32x4_t mq_scaled(int32x4_t x, const mq_to_scale *q) {
    return vrshlq_n_s32(vqdmulhq_n_s32(vqshlq_r_s32(x, q->left), q->multiplier), q->right);
}

static inline int32x4_t mq_rescaled(int32x4_t x, const mq_to_scale *q) {
    return mq_limited(mq_scaled(vsubq_n_s32(x, q->x_zero), q), &q->limits);
}

/* `count` outputs, each row with a scale of its own. Of `sums`, whole vectors are read. */
static inline void mq_scale_rows_s8(const int32_t *sums, const int32_t *multiplier, const int8_t *shift, uint32_t count,
                                    const mq_limits *l, int8_t *y) {
    for (uint32_t fours = count >> 2; fours; fours--) {
        const int32x4_t value = mq_requantise_s32(vldrwq_s32(sums), vldrwq_s32(multiplier), vldrbq_s32(shift));
        vstrbq_s32(y, mq_limited(value, l));
        sums += 4;
        multiplier += 4;
        shift += 4;
        y += 4;
    }
    if (count & 3u) {
        const mve_pred16_t some = vctp32q(count & 3u);
        const int32x4_t m = vldrwq_z_s32(multiplier, some);
        const int32x4_t value = mq_requantise_s32(vldrwq_s32(sums), m, vldrbq_z_s32(shift, some));
        vstrbq_p_s32(y, mq_limited(value, l), some);
    }
}

/* `count` outputs, each row with a scale of its own. Of `sums`, whole vectors are read. */
static inline void mq_scale_rows_s16(const int32_t *sums, const int32_t *multiplier, const int8_t *shift,
                                     uint32_t count, const mq_limits *l, int16_t *y) {
    for (uint32_t fours = count >> 2; fours; fours--) {
        const int32x4_t value = mq_requantise_s32(vldrwq_s32(sums), vldrwq_s32(multiplier), vldrbq_s32(shift));
        vstrhq_s32(y, mq_limited(value, l));
        sums += 4;
        multiplier += 4;
        shift += 4;
        y += 4;
    }
    if (count & 3u) {
        const mve_pred16_t some = vctp32q(count & 3u);
        const int32x4_t m = vldrwq_z_s32(multiplier, some);
        const int32x4_t value = mq_requantise_s32(vldrwq_s32(sums), m, vldrbq_z_s32(shift, some));
        vstrhq_p_s32(y, mq_limited(value, l), some);
    }
}

#endif
