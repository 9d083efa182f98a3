/* Magnitudes or powers of the spectra of windowed frames, summed over bands, and their logarithm, fixed point; see
 * mq_spectrum.h. One frame after the other, so that only one spectrum is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum.h"
#include "mq_spectrum_s32.h"

static uint64_t level_of(mq_pair_s32 v, uint32_t power) {
    if (power) {
        return (uint64_t)((int64_t)v.re * v.re) + (uint64_t)((int64_t)v.im * v.im);
    }
    return mq_magnitude(v);
}

static uint64_t band_of(const mq_pair_s32 *v, const uint16_t *weights, uint32_t count, uint32_t power) {
    const uint32_t lost = power ? 15 : 0;
    uint64_t sum = 0;
    for (uint32_t j = 0; j < count; j++) {
        sum += (level_of(v[j], power) >> lost) * weights[j];
    }
    return sum;
}

/* log2 of a positive number in Q16. */
static int32_t log2_of(uint64_t x, const int32_t *table) {
    const int32_t bits = mq_bits64(x);
    const uint32_t top = (uint32_t)(bits > 31 ? x >> (bits - 31) : x << (31 - bits)); /* in [2^30, 2^31) */
    const uint32_t i = (top >> 23) & 127u;
    const int32_t rest = (int32_t)(top & 0x7fffffu);
    const int64_t between = ((int64_t)(table[i + 1] - table[i]) * rest + (1 << 22)) >> 23;
    return (bits - 1) * 65536 + mq_rshr(table[i] + (int32_t)between, 8);
}

/* log2(level + offset) in Q16, the exponent of the level taken off. */
static int32_t log2_level(uint64_t level, int32_t exponent, const mq_features_fixed *f) {
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
    return level ? log2_of(level, f->log2_table) + (down - exponent) * 65536 + f->log2_step : INT32_MIN;
}

void mq_features_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int16_t *y, int32_t *work,
                     const mq_spectrum_params *p, const mq_features_fixed *f) {
    const uint32_t m = p->fft / 2;
    const uint32_t size = f->bands > 0 ? f->bands : m + 1;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, m);
    mq_pair_s32 *const spectrum = (mq_pair_s32 *)(void *)work + m;
    for (uint32_t t = 0; t < p->frames; t++, y += size) {
        const int32_t of_frame = mq_frame_spectrum_s32(x + t * p->hop, window, p->length, spectrum,
                                                       (mq_pair_s32 *)(void *)work, &tables, p->radices, m);
        const int32_t exponent = f->power ? 2 * of_frame : of_frame;
        const uint16_t *weights = f->weights;
        for (uint32_t b = 0; b < size; b++) {
            uint64_t level;
            if (f->bands > 0) {
                level = band_of(spectrum + f->first[b], weights, f->count[b], f->power);
                weights += f->count[b];
            } else {
                level = level_of(spectrum[b], f->power);
            }
            if (f->log2_table) {
                const int32_t log2 = log2_level(level, exponent, f);
                y[b] = mq_sat_s16(mq_requantise(log2 > f->floor ? log2 : f->floor, f->m, f->exponent));
            } else {
                y[b] = (int16_t)mq_level_s16(level, f->m, f->exponent - exponent);
            }
        }
    }
}
