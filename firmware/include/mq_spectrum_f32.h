/* Real spectra from complex ones, one frame, f32; kernels/spectrum/mq_spectrum.h has the formulas.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SPECTRUM_F32_H
#define MQ_SPECTRUM_F32_H

#include "mq_fft_f32.h"

/* Tables of a transform of `m` complex values: those of its passes, then turns; and how many passes there are. */
typedef struct {
    const mq_complex *passes;
    const mq_complex *turns;
    uint32_t count;
} mq_fft_tables;

static inline mq_fft_tables mq_fft_tables_of(const float *twiddles, const uint8_t *radices, uint32_t m) {
    mq_fft_tables tables = {(const mq_complex *)(const void *)twiddles, 0, 0};
    uint32_t size = 0;
    for (uint32_t n = m; radices[tables.count]; tables.count++) {
        n /= radices[tables.count];
        size += n * (radices[tables.count] - 1u);
    }
    tables.turns = tables.passes + size;
    return tables;
}

/* The spectrum of the real signal from that of its m complex values; y has m + 1 of them. */
static inline void mq_take_apart(const mq_complex *z, const mq_complex *turns, mq_complex *y, uint32_t m) {
    const float re = z[0].re;
    const float im = z[0].im;
    y[0].re = re + im;
    y[0].im = 0.0f;
    y[m].re = re - im;
    y[m].im = 0.0f;
    for (uint32_t k = 1; k <= m / 2; k++) {
        const mq_complex a = z[k];
        const mq_complex b = {z[m - k].re, -z[m - k].im};
        const mq_complex even = mq_complex_scaled(mq_complex_sum(a, b), 0.5f);
        const mq_complex odd = mq_complex_scaled(mq_complex_turned(mq_complex_difference(a, b)), 0.5f);
        const mq_complex turned = mq_complex_product(odd, turns[k]);
        const mq_complex mirrored = mq_complex_difference(even, turned);
        y[k] = mq_complex_sum(even, turned);
        y[m - k].re = mirrored.re;
        y[m - k].im = -mirrored.im;
    }
}

/* The spectrum, m + 1 values, of `length` samples times a window, and zeros up to 2 m; work holds m values. */
static inline void mq_frame_spectrum(const float *x, const float *window, uint32_t length, mq_complex *spectrum,
                                     mq_complex *work, const mq_fft_tables *tables, const uint8_t *radices,
                                     uint32_t m) {
    /* the passes go to and fro between the two, and shall end in work */
    mq_complex *const start = tables->count % 2 ? spectrum : work;
    float *const into = (float *)(void *)start;
    for (uint32_t n = 0; n < length; n++) {
        into[n] = x[n] * window[n];
    }
    for (uint32_t n = length; n < 2 * m; n++) {
        into[n] = 0.0f;
    }
    mq_fft(start, tables->count % 2 ? work : spectrum, tables->passes, radices, m);
    mq_take_apart(work, tables->turns, spectrum, m);
}

#endif
