/* The parts of mq_levels_s32.h for Helium, with the same results.
 *
 * re^2 + im^2 of four values is two vectors, lower and upper words. Of the lower ones, half of the sum (VHADD) has the
 * carry in its top bit. How far a power is shifted follows from the leading zeros of its upper word alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_LEVELS_S32_H
#define MQ_MVE_LEVELS_S32_H

#include "mq_levels_s32.h"
#include "mq_mve_float.h"
#include "mq_mve_scale.h"

typedef struct {
    uint32x4_t low;
    uint32x4_t high;
} mq_wide;

/* The powers of four values. */
static inline mq_wide mq_powers_of_four(const mq_pair_s32 *v) {
    const int32x4x2_t parts = vld2q_s32((const int32_t *)(const void *)v);
    const int32x4_t re = parts.val[0];
    const int32x4_t im = parts.val[1];
    const uint32x4_t a = vreinterpretq_u32_s32(vmulq_s32(re, re));
    const uint32x4_t b = vreinterpretq_u32_s32(vmulq_s32(im, im));
    const uint32x4_t high = vreinterpretq_u32_s32(vaddq_s32(vmulhq_s32(re, re), vmulhq_s32(im, im)));
    return (mq_wide){vaddq_u32(a, b), vaddq_u32(high, vshrq_n_u32(vhaddq_u32(a, b), 31))};
}

/* Four powers 2^-shift, where that is below 2^32. */
static inline uint32x4_t mq_wide_shifted(mq_wide x, int32x4_t shift) {
    const int32x4_t none = vdupq_n_s32(0);
    return vorrq_u32(vshlq_u32(x.low, vsubq_s32(none, shift)), vshlq_u32(x.high, vsubq_s32(vdupq_n_s32(32), shift)));
}

static inline void mq_mve_powers_s32(const mq_pair_s32 *v, uint32_t *low, uint32_t *high, uint32_t n, int cut) {
    for (uint32_t fours = n / 4; fours; fours--, v += 4, low += 4, high += 4) {
        const mq_wide power = mq_powers_of_four(v);
        if (cut) {
            vstrwq_u32(low, vorrq_u32(vshrq_n_u32(power.low, 15), vshlq_n_u32(power.high, 17)));
            vstrwq_u32(high, vshrq_n_u32(power.high, 15));
        } else {
            vstrwq_u32(low, power.low);
            vstrwq_u32(high, power.high);
        }
    }
    mq_powers_s32(v, low, high, n % 4, cut);
}

/* mq_root of four: the root in f32 is at most 1 away. */
static inline uint32x4_t mq_roots_of_four(uint32x4_t x) {
    const uint32x4_t near = vcvtq_u32_f32(mq_roots_f32(vcvtq_f32_u32(x)));
    const int32x4_t rest = vreinterpretq_s32_u32(vsubq_u32(x, vmulq_u32(near, near)));
    const int32x4_t twice = vreinterpretq_s32_u32(vaddq_u32(near, near));
    const int32x4_t below = vshrq_n_s32(vsubq_s32(twice, rest), 31); /* -1 where it is 1 below the true one */
    const int32x4_t above = vshrq_n_s32(rest, 31);
    return vreinterpretq_u32_s32(vaddq_s32(vreinterpretq_s32_u32(near), vsubq_s32(above, below)));
}

static inline uint32x4_t mq_magnitudes_of_four(const mq_pair_s32 *v) {
    const mq_wide power = mq_powers_of_four(v);
    const uint32x4_t zeros = vclzq_u32(power.high);
    const int32x4_t half = vreinterpretq_s32_u32(vshrq_n_u32(vsubq_u32(vdupq_n_u32(33), zeros), 1));
    return vshlq_u32(mq_roots_of_four(mq_wide_shifted(power, vaddq_s32(half, half))), half);
}

static inline void mq_mve_magnitudes_s32(const mq_pair_s32 *v, uint32_t *y, uint32_t n) {
    for (uint32_t fours = n / 4; fours; fours--, v += 4, y += 4) {
        vstrwq_u32(y, mq_magnitudes_of_four(v));
    }
    mq_magnitudes_s32(v, y, n % 4);
}

static inline uint64_t mq_mve_band_s32(const uint32_t *x, const uint16_t *weights, uint32_t count) {
    uint64_t sum = 0;
    for (uint32_t fours = count / 4; fours; fours--, x += 4, weights += 4) {
        sum = vmlaldavaq_u32(sum, vldrwq_u32(x), vldrhq_u32(weights));
    }
    const mve_pred16_t some = vctp32q(count % 4);
    return vmlaldavaq_u32(sum, vldrwq_z_u32(x, some), vldrhq_z_u32(weights, some));
}

/* With one shift for all. */
static inline int32x4_t mq_narrow_four(int32x4_t x, int32_t m, int32_t shift) {
    return mq_narrow_lanes(x, m, vdupq_n_s32(shift));
}

static inline void mq_mve_narrow_magnitudes_s16(const mq_pair_s32 *v, int16_t *y, uint32_t n, int32_t m,
                                                int32_t exponent) {
    const int32_t shift = mq_narrowing(exponent);
    for (uint32_t fours = n / 4; fours; fours--, v += 4, y += 4) {
        vstrhq_s32(y, mq_narrow_four(vreinterpretq_s32_u32(mq_magnitudes_of_four(v)), m, shift));
    }
    mq_narrow_magnitudes_s16(v, y, n % 4, m, exponent);
}

static inline void mq_mve_narrow_powers_s16(const mq_pair_s32 *v, int16_t *y, uint32_t n, int32_t m, int32_t exponent) {
    const int32x4_t least = vdupq_n_s32(-31);
    const int32x4_t most = vdupq_n_s32(31);
    for (uint32_t fours = n / 4; fours; fours--, v += 4, y += 4) {
        const mq_wide power = mq_powers_of_four(v);
        const uint32x4_t above = vorrq_u32(vshlq_n_u32(power.high, 1), vshrq_n_u32(power.low, 31));
        const int32x4_t cut = vreinterpretq_s32_u32(vsubq_u32(vdupq_n_u32(32), vclzq_u32(above)));
        const int32x4_t shift = vminq_s32(vmaxq_s32(vaddq_n_s32(cut, exponent + 32), least), most);
        vstrhq_s32(y, mq_narrow_lanes(vreinterpretq_s32_u32(mq_wide_shifted(power, cut)), m, shift));
    }
    mq_narrow_powers_s16(v, y, n % 4, m, exponent);
}

#endif
