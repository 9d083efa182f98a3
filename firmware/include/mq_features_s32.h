/* Features of frames in fixed point: levels, bands of them, logarithms, of the parts that mq_levels_s32.h, or that of
 * an instruction set, makes; kernels/spectrum/mq_spectrum.h has the formulas. Levels of 64 bits are kept in two rows,
 * lower and upper words, so that neighbours in a band are neighbours in memory. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FEATURES_S32_H
#define MQ_FEATURES_S32_H

#include "mq_frames_s32.h"

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

/* Levels of a frame, lower and upper words (NULL: those are 0) of each bin; and the bands that sum them. */
typedef struct {
    const uint32_t *low;
    const uint32_t *high;
    const uint16_t *weights;
} mq_level_rows;

/* Level k: that of a bin, or of a band, which takes its weights. */
static inline uint64_t mq_next_level(mq_level_rows *rows, uint32_t k, const mq_features_fixed *f) {
    if (!f->bands) {
        return (uint64_t)(rows->high ? rows->high[k] : 0u) << 32 | rows->low[k];
    }
    const uint32_t first = f->first[k];
    const uint32_t count = f->count[k];
    const uint64_t low = MQ_PART(band_s32)(rows->low + first, rows->weights, count);
    const uint64_t high = rows->high ? MQ_PART(band_s32)(rows->high + first, rows->weights, count) : 0;
    rows->weights += count;
    return low + (high << 32);
}

static inline void mq_features_of_frames(const int16_t *x, const int16_t *window, const int32_t *twiddles, int16_t *y,
                                         int32_t *work, const mq_spectrum_params *p, const mq_features_fixed *f) {
    const uint32_t m = p->fft / 2;
    const uint32_t size = f->bands ? f->bands : m + 1;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, m);
    mq_pair_s32 *const spectrum = (mq_pair_s32 *)(void *)work + m;
    uint32_t *const high = (uint32_t *)(void *)work; /* free once there is a spectrum */
    uint32_t *const low = (uint32_t *)(void *)spectrum;
    for (uint32_t t = 0; t < p->frames; t++, y += size) {
        const int32_t exponent = mq_frame_spectrum_s32(x + t * p->hop, window, p->length, spectrum,
                                                       (mq_pair_s32 *)(void *)work, &tables, p->radices, m);
        if (f->power) {
            MQ_PART(powers_s32)(spectrum, low, high, m + 1, f->bands > 0);
        } else {
            MQ_PART(magnitudes_s32)(spectrum, low, m + 1);
        }
        mq_level_rows rows = {low, f->power ? high : NULL, f->weights};
        for (uint32_t k = 0; k < size; k++) {
            y[k] = mq_feature_of(mq_next_level(&rows, k, f), f->power ? 2 * exponent : exponent, f);
        }
    }
}

#endif
