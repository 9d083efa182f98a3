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
 *
 * In fixed point x and window are s16 (window in Q15), twiddles in Q31, spectra s32 with one exponent per frame:
 *
 *     y[k] = stored[k] 2^-exponent, in steps of x
 *
 * A frame is shifted before the transform, up or down, until the sum of its magnitudes fills 29 bits, so that quiet
 * frames keep their bits; nothing is shifted inside (include/mq_fft_s32.h). |stored| <= 2^30 (1 + 2^-10). What is
 * narrowed to s16 is multiplied by m 2^e: m in [2^30, 2^31), e the argument `exponent` minus what the frame has, half
 * rounded up: mq_requantise with the shift e + 32 (mq_narrowing). SPDX-License-Identifier: Apache-2.0 */
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

/* --- fixed point --- */

/* Features of frames in fixed point. Levels of all bins, as whole numbers of 64 bits: re^2 + im^2 with twice the
 * exponent of the spectrum, or its root (mq_magnitude); bands sum levels (powers without their lower 15 bits) times
 * weights.
 *
 *   without logarithm   y = sat(level m 2^(exponent - of the level)), limited to 32767
 *   with                l = log2(level + offset_m 2^(offset_exponent + of the level)) - of the level + log2_step
 *                       y = sat(requantise(max(l, floor), m, exponent)),  l in Q16; without offset offset_m is 0
 *
 * log2 by a table of 129 values log2(1 + i/128) in Q24, linear between them. */
typedef struct {
    uint32_t power;
    uint32_t bands;
    const uint16_t *first;
    const uint16_t *count;
    const uint16_t *weights;
    const int32_t *log2_table; /* NULL: no logarithm */
    int32_t log2_step;
    int32_t floor;
    int32_t offset_m;
    int32_t offset_exponent;
    int32_t m;
    int32_t exponent;
} mq_features_fixed;

void mq_spectrum_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int32_t *y, int32_t *exponents,
                     int32_t *work, const mq_spectrum_params *p);
void mq_features_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int16_t *y, int32_t *work,
                     const mq_spectrum_params *p, const mq_features_fixed *f);

/* Spectra as s16 of a scale of their own: n values for each of `frames` exponents; and their magnitudes or powers, of n
 * pairs each. */
void mq_narrowed_spectrum_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n,
                              int32_t m, int32_t exponent);
void mq_levels_s16(const int32_t *x, const int32_t *exponents, int16_t *y, uint32_t frames, uint32_t n, uint32_t power,
                   int32_t m, int32_t exponent);

/* Spectra with exponents as floats: y = x scale 2^-exponent. */
void mq_spectrum_to_f32(const int32_t *x, const int32_t *exponents, float *y, uint32_t frames, uint32_t n, float scale);

/* s16 values as a spectrum with exponents 0. */
void mq_widened_spectrum_s16(const int16_t *x, int32_t *y, int32_t *exponents, uint32_t frames, uint32_t n);

/* A mask in s16 over n pairs of each frame: y = x mask 2^-15, half rounded up; exponents stay. y may be x. */
void mq_masked_spectrum_s16(const int32_t *x, const int16_t *mask, int32_t *y, uint32_t frames, uint32_t n,
                            uint32_t complex_mask);

/* The inverse: shifted, as above with 2 more bits of room, transformed without 1/fft, narrowed. work: 2 fft values. */
void mq_inverse_spectrum_s16(const int32_t *x, const int32_t *exponents, const int32_t *twiddles, int16_t *y,
                             int32_t *work, const mq_spectrum_params *p, int32_t m, int32_t exponent);

#endif
