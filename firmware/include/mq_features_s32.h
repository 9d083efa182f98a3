/* Features of frames in fixed point: levels, bands of them, logarithms; kernels/spectrum/mq_spectrum.h has the
 * formulas. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FEATURES_S32_H
#define MQ_FEATURES_S32_H

#include "mq_frames_s32.h"

/* A level of 64 bits in the place of the value that it is of. */
static inline uint64_t mq_level_in(mq_pair_s32 v) {
    return (uint64_t)(uint32_t)v.im << 32 | (uint32_t)v.re;
}

static inline void mq_levels_in_place(mq_pair_s32 *v, uint32_t n, uint32_t power) {
    for (; n; n--, v++) {
        const uint64_t level = power ? mq_power(*v) : mq_magnitude(*v);
        v->re = (int32_t)(uint32_t)level;
        v->im = (int32_t)(uint32_t)(level >> 32);
    }
}

static inline uint64_t mq_band_of(const mq_pair_s32 *levels, const uint16_t *weights, uint32_t count, uint32_t power) {
    uint64_t sum = 0;
    if (power) {
        for (; count; count--) {
            sum += (mq_level_in(*levels++) >> 15) * *weights++;
        }
    } else {
        for (; count; count--, levels++) {
            sum += (uint64_t)(uint32_t)levels->re * *weights++;
        }
    }
    return sum;
}

/* log2 of a positive number in Q16. */
static inline int32_t mq_log2_of(uint64_t x, const int32_t *table) {
    const int32_t bits = mq_bits64(x);
    const uint32_t top = (uint32_t)(bits > 31 ? x >> (bits - 31) : x << (31 - bits)); /* in [2^30, 2^31) */
    const uint32_t i = (top >> 23) & 127u;
    const int32_t rest = (int32_t)(top & 0x7fffffu);
    const int64_t between = ((int64_t)(table[i + 1] - table[i]) * rest + (1 << 22)) >> 23;
    return (bits - 1) * 65536 + mq_rshr(table[i] + (int32_t)between, 8);
}

/* log2(level + offset) in Q16, the exponent of the level taken off. */
static inline int32_t mq_log2_level(uint64_t level, int32_t exponent, const mq_features_fixed *f) {
    const int32_t shift = f->offset_exponent + exponent;
    int32_t down = 0;
    if (f->offset_m) {
        down = shift > 31 ? shift - 31 : 0;
        level = down < 64 ? level >> down : 0;
        if (shift >= 0) {
            level += (uint64_t)f->offset_m << (shift - down);
        } else if (shift > -31) {
            level += (uint64_t)(f->offset_m >> -shift);
        }
    }
    return level ? mq_log2_of(level, f->log2_table) + (down - exponent) * 65536 + f->log2_step : INT32_MIN;
}

static inline int16_t mq_feature_of(uint64_t level, int32_t exponent, const mq_features_fixed *f) {
    if (f->log2_table) {
        const int32_t log2 = mq_log2_level(level, exponent, f);
        return mq_sat_s16(mq_requantise(log2 > f->floor ? log2 : f->floor, f->m, f->exponent));
    }
    return mq_level_s16(level, f->m, f->exponent - exponent);
}

static inline void mq_features_of_frames(const int16_t *x, const int16_t *window, const int32_t *twiddles, int16_t *y,
                                         int32_t *work, const mq_spectrum_params *p, const mq_features_fixed *f) {
    const uint32_t m = p->fft / 2;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, m);
    mq_pair_s32 *const spectrum = (mq_pair_s32 *)(void *)work + m;
    for (uint32_t t = 0; t < p->frames; t++) {
        const int32_t of_frame = mq_frame_spectrum_s32(x + t * p->hop, window, p->length, spectrum,
                                                       (mq_pair_s32 *)(void *)work, &tables, p->radices, m);
        const int32_t exponent = f->power ? 2 * of_frame : of_frame;
        mq_levels_in_place(spectrum, m + 1, f->power);
        if (f->bands == 0) {
            for (uint32_t k = 0; k <= m; k++) {
                *y++ = mq_feature_of(mq_level_in(spectrum[k]), exponent, f);
            }
        }
        const uint16_t *weights = f->weights;
        for (uint32_t b = 0; b < f->bands; b++) {
            const uint64_t level = mq_band_of(spectrum + f->first[b], weights, f->count[b], f->power);
            *y++ = mq_feature_of(level, exponent, f);
            weights += f->count[b];
        }
    }
}

#endif
