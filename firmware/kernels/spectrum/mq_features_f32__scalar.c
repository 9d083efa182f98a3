/* Magnitudes or powers of the spectra of windowed frames, summed over bands, and their logarithm, f32; see
 * mq_spectrum.h. One frame after the other, so that only one spectrum is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "mq_float.h"
#include "mq_spectrum.h"
#include "mq_spectrum_f32.h"

/* Magnitudes or powers of a spectrum, in the place of its first half. */
static float *levels(mq_complex *spectrum, uint32_t bins, uint32_t power) {
    float *const y = (float *)(void *)spectrum;
    for (uint32_t k = 0; k < bins; k++) {
        const float square = spectrum[k].re * spectrum[k].re + spectrum[k].im * spectrum[k].im;
        y[k] = power ? square : sqrtf(square);
    }
    return y;
}

static void bands_of(const float *x, const float *weights, float *y, const mq_bands *bands) {
    for (uint32_t b = 0; b < bands->bands; b++) {
        const float *const bins = x + bands->first[b];
        const uint32_t count = bands->count[b];
        float sum = 0.0f;
        for (uint32_t j = 0; j < count; j++) {
            sum += weights[j] * bins[j];
        }
        y[b] = sum;
        weights += count;
    }
}

void mq_features_f32(const float *x, const float *window, const float *twiddles, const float *weights, float *y,
                     float *work, const mq_spectrum_params *p, const mq_bands *bands, const mq_logarithm *log) {
    const uint32_t m = p->fft / 2;
    const uint32_t size = bands->bands > 0 ? bands->bands : m + 1;
    const mq_fft_tables tables = mq_fft_tables_of(twiddles, p->radices, m);
    mq_complex *const spectrum = (mq_complex *)(void *)work + m;
    for (uint32_t t = 0; t < p->frames; t++, y += size) {
        mq_frame_spectrum(x + t * p->hop, window, p->length, spectrum, (mq_complex *)(void *)work, &tables, p->radices,
                          m);
        const float *const found = levels(spectrum, m + 1, bands->power);
        if (bands->bands > 0) {
            bands_of(found, weights, y, bands);
        } else {
            memcpy(y, found, size * sizeof(float));
        }
        for (uint32_t b = 0; b < size && log->taken; b++) {
            y[b] = log->factor * mq_log((y[b] > log->floor ? y[b] : log->floor) + log->offset);
        }
    }
}
