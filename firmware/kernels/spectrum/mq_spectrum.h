/* Spectra of real signals and back, by FFT; what front and back ends of audio models are made of.
 *
 *   spectrum     y[t, k] = sum_n window[n] x[t hop + n] exp(-2 pi i k n / fft)            k = 0 .. fft/2, n < length
 *   inverse      x[n] = 1/fft sum_k y[k] exp(2 pi i k n / fft), with the conjugates y[fft - k] = y[k]*; imaginary parts
 *                of y[0] and y[fft/2] count as zero
 *   magnitude    y = sqrt(re^2 + im^2), or its square
 *   bands        y[t, b] = sum_j weights[b, j] x[t, first[b] + j]                          j < count[b]
 *   logarithm    y = factor ln(max(x, floor) + offset)
 *
 * A spectrum is [frames, fft/2 + 1] pairs (re, im). The real signal of length fft = 2 m is transformed as m complex
 * values z[n] = x[2n] + i x[2n+1] and taken apart with turns[k] = exp(-2 pi i k / fft), k = 0 .. m/2:
 *
 *   even = (z[k] + z[m-k]*) / 2,  odd = (z[k] - z[m-k]*) / 2i,  y[k] = even + turns[k] odd,  y[m-k] = (even - turns[k]
 * odd)*
 *
 * fft is even, fft / 2 a product of 2, 3, 4 and 5: `radices` in the order of the passes, ending with 0. `twiddles` are
 * those of the passes (include/mq_fft_f32.h), then turns. `work` holds fft values unless stated. Nothing overlaps.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_SPECTRUM_H
#define MQ_SPECTRUM_H

#include "mq_base.h"

typedef struct {
    uint32_t frames;
    uint32_t hop;
    uint32_t length;
    uint32_t fft;
    uint8_t radices[12];
} mq_spectrum_params;

/* Levels of bins: powers, or else magnitudes; and bands of them, or the bins themselves where there are 0 bands. */
typedef struct {
    uint32_t power;
    uint32_t bands;
    const uint16_t *first;
    const uint16_t *count;
} mq_bands;

/* The logarithm, if it is taken. */
typedef struct {
    uint32_t taken;
    float floor;
    float offset;
    float factor;
} mq_logarithm;

void mq_spectrum_f32(const float *x, const float *window, const float *twiddles, float *y, float *work,
                     const mq_spectrum_params *p);
void mq_inverse_spectrum_f32(const float *x, const float *twiddles, float *y, float *work, const mq_spectrum_params *p);

/* n values of a spectrum as magnitudes, or as powers. */
void mq_magnitude_f32(const float *x, float *y, uint32_t n, uint32_t power);

/* The levels of each frame, their bands, and the logarithm of those. `weights` of all bands follow each other.
 * work: 2 fft + 2 values. */
void mq_features_f32(const float *x, const float *window, const float *twiddles, const float *weights, float *y,
                     float *work, const mq_spectrum_params *p, const mq_bands *bands, const mq_logarithm *log);

#endif
