/* Magnitudes or powers of the spectra of windowed frames, summed over bands, and their logarithm, fixed point; see
 * mq_spectrum.h. One frame after the other, so that only one spectrum is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_spectrum_s32.h"

#define MQ_PART(name) mq_##name
#include "mq_features_s32.h"

void mq_features_s16(const int16_t *x, const int16_t *window, const int32_t *twiddles, int16_t *y, int32_t *work,
                     const mq_spectrum_params *p, const mq_features_fixed *f) {
    mq_features_of_frames(x, window, twiddles, y, work, p, f);
}
