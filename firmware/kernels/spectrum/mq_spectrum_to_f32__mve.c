/* Spectra with exponents as floats, Helium; see mq_spectrum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_convert.h"
#include "mq_spectrum.h"

static void mq_frame_to_f32(const int32_t *x, float *y, uint32_t n, float step) {
    const mq_to_reals q = {step, 0};
    MQ_BY_FOUR(vldrwq_s32, vldrwq_z_s32, mq_reals, &q, vstrwq_f32, vstrwq_p_f32)
}

void mq_spectrum_to_f32(const int32_t *x, const int32_t *exponents, float *y, uint32_t frames, uint32_t n,
                        float scale) {
    for (uint32_t t = 0; t < frames; t++) {
        mq_frame_to_f32(x + t * n, y + t * n, n, mq_scale(scale, -exponents[t]));
    }
}
