/* Real spectra from complex ones, one frame, in 32-bit integers with an exponent per frame;
 * kernels/spectrum/mq_spectrum.h has the formulas. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SPECTRUM_S32_H
#define MQ_SPECTRUM_S32_H

#include "mq_fft_s32.h"

/* Tables of a transform of `m` complex values: those of its passes, then turns; and how many passes there are. */
typedef struct {
    const mq_pair_s32 *passes;
    const mq_pair_s32 *turns;
    uint32_t count;
} mq_fft_s32_tables;

static inline mq_fft_s32_tables mq_fft_s32_tables_of(const int32_t *twiddles, const uint8_t *radices, uint32_t m) {
    mq_fft_s32_tables tables = {(const mq_pair_s32 *)(const void *)twiddles, 0, 0};
    uint32_t size = 0;
    for (uint32_t n = m; radices[tables.count]; tables.count++) {
        n /= radices[tables.count];
        size += n * (radices[tables.count] - 1u);
    }
    tables.turns = tables.passes + size;
    return tables;
}

/* Bits of a number: 0 for 0, 1 for 1, 2 for 2 and 3, ... */
static inline int32_t mq_bits(uint32_t x) {
    int32_t bits = 0;
    for (int32_t step = 16; step > 0; step /= 2) {
        if (x >> step) {
            x >>= step;
            bits += step;
        }
    }
    return bits + (int32_t)x;
}

static inline int32_t mq_bits64(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    return high ? 32 + mq_bits(high) : mq_bits((uint32_t)x);
}

/* x 2^shift, half rounded up where it loses bits; shift in [-31, 31]. */
static inline int32_t mq_shifted(int32_t x, int32_t shift) {
    return shift < 0 ? mq_rshr(x, -shift) : (int32_t)((uint32_t)x << shift);
}

/* How far n values may be shifted so that the sum of their magnitudes is below 2^29: no sum of them with factors of
 * magnitude 1, which is all that a transform makes, is larger. */
static inline int32_t mq_room(const int32_t *x, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (uint32_t)(x[i] < 0 ? -x[i] : x[i]);
    }
    return sum ? 29 - mq_bits64(sum) : 0;
}

/* Twice the spectrum of the real signal from that of its m complex values; y has m + 1 of them. */
static inline void mq_take_apart_s32(const mq_pair_s32 *z, const mq_pair_s32 *turns, mq_pair_s32 *y, uint32_t m) {
    const int32_t re = z[0].re;
    const int32_t im = z[0].im;
    y[0].re = 2 * (re + im);
    y[0].im = 0;
    y[m].re = 2 * (re - im);
    y[m].im = 0;
    for (uint32_t k = 1; k <= m / 2; k++) {
        const mq_pair_s32 a = z[k];
        const mq_pair_s32 b = {z[m - k].re, -z[m - k].im};
        const mq_pair_s32 even = mq_pair_sum(a, b);
        const mq_pair_s32 odd = mq_pair_product(mq_pair_turned(mq_pair_difference(a, b)), turns[k]);
        const mq_pair_s32 mirrored = mq_pair_difference(even, odd);
        y[k] = mq_pair_sum(even, odd);
        y[m - k].re = mirrored.re;
        y[m - k].im = -mirrored.im;
    }
}

/* The spectrum of `length` samples times a window in Q15, and zeros up to 2 m; work holds m values. Returns its
 * exponent: values are the spectrum's, in steps of the samples, times 2^exponent. */
static inline int32_t mq_frame_spectrum_s32(const int16_t *x, const int16_t *window, uint32_t length,
                                            mq_pair_s32 *spectrum, mq_pair_s32 *work, const mq_fft_s32_tables *tables,
                                            const uint8_t *radices, uint32_t m) {
    /* the passes go to and fro between the two, and shall end in work */
    mq_pair_s32 *const start = tables->count % 2 ? spectrum : work;
    int32_t *const into = (int32_t *)(void *)start;
    for (uint32_t n = 0; n < length; n++) {
        into[n] = x[n] * window[n];
    }
    const int32_t room = mq_room(into, length);
    for (uint32_t n = 0; n < length; n++) {
        into[n] = mq_shifted(into[n], room);
    }
    for (uint32_t n = length; n < 2 * m; n++) {
        into[n] = 0;
    }
    mq_fft_s32(start, tables->count % 2 ? work : spectrum, tables->passes, radices, m);
    mq_take_apart_s32(work, tables->turns, spectrum, m);
    return room + 16; /* the window's 15 bits, and twice the spectrum */
}

/* Largest integer not above the square root, of 32 bits. */
static inline uint32_t mq_root(uint32_t x) {
    uint32_t root = 0;
    for (uint32_t bit = 1u << 15; bit; bit >>= 1) {
        const uint32_t tried = root | bit;
        if (tried * tried <= x) {
            root = tried;
        }
    }
    return root;
}

/* Magnitude of a value below 2^31: the root of the upper 32 of 64 bits, so that 15 bits of it are right. */
static inline uint32_t mq_magnitude(mq_pair_s32 v) {
    const uint64_t square = (uint64_t)((int64_t)v.re * v.re) + (uint64_t)((int64_t)v.im * v.im);
    const int32_t bits = mq_bits64(square);
    const int32_t half = bits > 32 ? (bits - 31) / 2 : 0;
    return mq_root((uint32_t)(square >> (2 * half))) << half;
}

/* value m 2^exponent, half rounded up, limited to 32767; m in [2^30, 2^31) or 0. */
static inline int32_t mq_level_s16(uint64_t value, int32_t m, int32_t exponent) {
    const int32_t extra = mq_bits64(value) - 31;
    const int32_t cut = extra > 0 ? extra : 0;
    const uint64_t product = (value >> cut) * (uint32_t)m; /* below 2^62 */
    const int32_t right = -(exponent + cut);
    if (product == 0 || right > 62) {
        return 0;
    }
    if (right <= 0 || mq_bits64(product) - right > 16) {
        return 32767;
    }
    const uint64_t rounded = (product + (((uint64_t)1 << right) >> 1)) >> right;
    return rounded > 32767 ? 32767 : (int32_t)rounded;
}

/* The same for both signs: magnitudes are rounded. */
static inline int16_t mq_value_of_s16(int32_t value, int32_t m, int32_t exponent) {
    const uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    const int32_t level = mq_level_s16(magnitude, m, exponent);
    return (int16_t)(value < 0 ? -level : level);
}

#endif
