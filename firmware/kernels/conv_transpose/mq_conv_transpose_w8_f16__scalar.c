/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"

#include "mq_float.h"

typedef mq_f16 mq_real;
#define MQ_TO_F32(v) mq_f16_to_f32(v)
#define MQ_FROM_F32(v) mq_f32_to_f16(v)
#define MQ_KERNEL mq_conv_transpose_w8_f16
#include "mq_conv_transpose_w8.h"
