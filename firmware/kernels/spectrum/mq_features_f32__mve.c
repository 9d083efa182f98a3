/* Magnitudes or powers of the spectra of windowed frames, summed over bands, and their logarithm, f32, Helium; see
 * mq_spectrum.h. One frame after the other, so that only one spectrum is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_spectrum_f32.h"

#define MQ_PART(name) mq_mve_##name
#include "mq_frames_f32.h"

void mq_features_f32(const float *x, const float *window, const float *twiddles, const float *weights, float *y,
                     float *work, const mq_spectrum_params *p, const mq_bands *bands, const mq_logarithm *log) {
    mq_features_of_frames(x, window, twiddles, weights, y, work, p, bands, log);
}
