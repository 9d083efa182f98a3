/* The real signals of spectra with exponents, fixed point, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_spectrum_s32.h"

#define MQ_PART(name) mq_mve_##name
#include "mq_frames_s32.h"

void mq_inverse_spectrum_s16(const int32_t *x, const int32_t *exponents, const int32_t *twiddles, int16_t *y,
                             int32_t *work, const mq_spectrum_params *p, int32_t m, int32_t exponent) {
    mq_signals_of_spectra(x, exponents, twiddles, y, work, p, m, exponent);
}
