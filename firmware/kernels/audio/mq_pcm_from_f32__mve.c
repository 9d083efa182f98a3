/* Reals as samples of 16 bits, Helium; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"
#include "mq_mve_convert.h"

void mq_pcm_from_f32(const float *x, int16_t *y, uint32_t n, float inverse_scale) {
    const mq_to_integers q = mq_to_integers_of(inverse_scale, 0, -32768, 32767);
    MQ_BY_FOUR(vldrwq_f32, vldrwq_z_f32, mq_integers, &q, vstrhq_s32, vstrhq_p_s32)
}
