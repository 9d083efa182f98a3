/* Spectra of frames in 32-bit integers with an exponent per frame, and back: what kernels do with the parts that
 * mq_spectrum_s32.h, or that of an instruction set, makes; kernels/spectrum/mq_spectrum.h has the formulas. Whoever
 * includes this file says by MQ_PART(name) whose parts. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FRAMES_S32_H
#define MQ_FRAMES_S32_H

#include <string.h>

#include "mq_levels_s32.h"
#include "mq_spectrum.h"

MQ_FFT_TABLES(mq_fft_s32_tables, mq_fft_s32_tables_of, mq_pair_s32, int32_t)

/* How far values may be shifted so that the sum of their magnitudes is below 2^29: no sum of them with factors of
 * magnitude 1, which is all that a transform makes, is larger. */
static inline int32_t mq_room(uint64_t sum_of_magnitudes) {
    return sum_of_magnitudes ? 29 - mq_bits64(sum_of_magnitudes) : 0;
}

/* The spectrum of `length` samples times a window in Q15, and zeros up to 2 m; work holds m values. Returns its
 * exponent: values are the spectrum's, in steps of the samples, times 2^exponent. */
static inline int32_t mq_frame_spectrum_s32(const int16_t *x, const int16_t *window, uint32_t length,
                                            mq_pair_s32 *spectrum, mq_pair_s32 *work, const mq_fft_s32_tables *tables,
                                            const uint8_t *radices, uint32_t m) {
    /* the passes go to and fro between the two, and shall end in work */
    mq_pair_s32 *const start = tables->count % 2 ? spectrum : work;
    int32_t *const into = (int32_t *)(void *)start;
    const int32_t room = mq_room(MQ_PART(windowed_s32)(x, window, into, length));
    MQ_PART(shift_s32)(into, length, room);
    memset(into + length, 0, (2 * m - length) * sizeof(int32_t));
    MQ_PART(fft_s32)(start, tables->count % 2 ? work : spectrum, tables->passes, radices, m);
    MQ_PART(take_apart_s32)(work, tables->turns, spectrum, m);
    return room + 16; /* the window's 15 bits, and twice the spectrum */
}

static inline void mq_spectra_of_frames(const int16_t *x, const int16_t *window, const int32_t *twiddles, int32_t *y,
                                        int32_t *exponents, int32_t *work, const mq_spectrum_params *p) {
    const uint32_t m = p->fft / 2;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, m);
    mq_pair_s32 *const spectra = (mq_pair_s32 *)(void *)y;
    for (uint32_t t = 0; t < p->frames; t++) {
        exponents[t] = mq_frame_spectrum_s32(x + t * p->hop, window, p->length, spectra + t * (m + 1),
                                             (mq_pair_s32 *)(void *)work, &tables, p->radices, m);
    }
}

/* The inverse of a transform is the transform with real and imaginary parts exchanged before and after. */
static inline void mq_signals_of_spectra(const int32_t *x, const int32_t *exponents, const int32_t *twiddles,
                                         int16_t *y, int32_t *work, const mq_spectrum_params *p, int32_t m,
                                         int32_t exponent) {
    const uint32_t half = p->fft / 2;
    const mq_fft_s32_tables tables = mq_fft_s32_tables_of(twiddles, p->radices, half);
    mq_pair_s32 *const z = (mq_pair_s32 *)(void *)work;
    mq_pair_s32 *const other = z + half;
    for (uint32_t t = 0; t < p->frames; t++, x += p->fft + 2, y += p->fft) {
        const int32_t shift = mq_room(MQ_PART(sum_of_magnitudes)(x, p->fft + 2)) - 2;
        MQ_PART(put_together_s32)((const mq_pair_s32 *)(const void *)x, tables.turns, z, half, shift);
        MQ_PART(fft_s32)(z, other, tables.passes, p->radices, half);
        MQ_PART(narrow_exchanged)(tables.count % 2 ? other : z, y, half, m, exponent - exponents[t] - shift);
    }
}

#endif
