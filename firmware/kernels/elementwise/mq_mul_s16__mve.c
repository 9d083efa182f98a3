/* Four values at a time; mq_mve_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_elementwise.h"

MQ_ELEMENTWISE(mq_mul_s16, int16_t, mq_mul_params, mq_factors, mq_factors_of, -32768, 32767, mq_mul_four, vldrhq_s32,
               vldrhq_gather_shifted_offset_z_s32, vstrhq_s32, vstrhq_p_s32)
