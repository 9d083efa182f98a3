/* Four values at a time; mq_mve_normalise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_normalise.h"

MQ_NORMALISE(s16, int16_t, -32768, 32767, vldrhq_s32, vldrhq_z_s32, vstrhq_s32, vstrhq_p_s32)
