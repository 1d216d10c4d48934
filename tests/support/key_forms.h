/* One P-256 key in each form that OpenSSL writes. Every encrypted form has the passphrase
 * KEY_FORMS_PASSPHRASE. */
#ifndef HUSK_TESTS_SUPPORT_KEY_FORMS_H
#define HUSK_TESTS_SUPPORT_KEY_FORMS_H

#define KEY_FORMS_PASSPHRASE "correct horse"

/* openssl pkcs8 -topk8 -nocrypt */
#define KEY_FORM_PLAIN_KEY                                                                                   \
    "-----BEGIN PRIVATE KEY-----\n"                                                                          \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSEv/0QA3s3sFTzjw\n"                                     \
    "+sJYW3L/8v2INY0ZQlNiFSLCjbOhRANCAAQrLerm8Zx6soB+IXn+LREmQ2Nrw+b6\n"                                     \
    "cVW3HVDzCi/z6tOp0QIiUnYRIuOsRt/uNff2Nn+GR6zqgw9ykt1J4sED\n"                                             \
    "-----END PRIVATE KEY-----\n"

/* openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 */
#define KEY_FORM_PBES2_AES_SHA256                                                                            \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh1820bWPdqRQICCAAw\n"                                     \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFSdqPl+njZWrNow4ZDUMtYEgZAt\n"                                     \
    "2PkBIpNLoGDGeUl9bWYcKEJNw3Porg1CQUJt77BxKHKhGpON+IDAL3/VH9On+P4T\n"                                     \
    "D+YhwBER7tcX+y79vsD8YolXkbj9pM6vsOSnOVm5Q7TPQbWMQJjAwmMYzSnS9/Ad\n"                                     \
    "9b8wa0HteO1TI/9XiZZWvAB6AO3sIhQl2+tQ7h0TchaM2aeK+LeIOzx3dSU2OOU=\n"                                     \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

/* openssl pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1 */
#define KEY_FORM_PBES2_3DES_SHA1                                                                             \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIHVMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAgxejBJGZT9eAICCAAw\n"                                     \
    "FAYIKoZIhvcNAwcECBwuChY1/PnGBIGQ33BVdsYD07gihYnr3WweKSWhO+hfrfjq\n"                                     \
    "nhmpYxmGP28TdiMJEbEbcZll9DqaEUGDez+PrFbnwH+YAvMiKzbflfQ585iBZQbE\n"                                     \
    "UoLMotKkQ5TcUU93r8aeGHiWj5OPjsyPIlK8qdgBd/LcTe+7rg3WZosaO+bUAp67\n"                                     \
    "psp2lzLrZWKgYynJGR4QWPyDifGo9Kr4\n"                                                                     \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

/* openssl ec -aes256 */
#define KEY_FORM_DEK_INFO_AES256                                                                             \
    "-----BEGIN EC PRIVATE KEY-----\n"                                                                       \
    "Proc-Type: 4,ENCRYPTED\n"                                                                               \
    "DEK-Info: AES-256-CBC,33EBF9F2951815882F897DC25025EAE8\n"                                               \
    "\n"                                                                                                     \
    "CZ//PwE4sMX9w4ess8Z2L5A1QjjI/dKWcFQ8u8zQJdaNtg8AHcCmvM6kHhan3pXB\n"                                     \
    "3MKgAd/jsKfxC/891m6JT6gEk9t9ZmCRGiWrkO0/Amhxf5rf4KIBpvcdEcZuAd3v\n"                                     \
    "gvaAY5NsbHlTIKELNEET7NRLjPvi6h8XyfoXU7RcqiE=\n"                                                         \
    "-----END EC PRIVATE KEY-----\n"

/* openssl pkcs8 -topk8 -v2prf hmacWithSHA512 */
#define KEY_FORM_PBES2_SHA512                                                                                \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgjPlgpZsv85QICCAAw\n"                                     \
    "DAYIKoZIhvcNAgsFADAdBglghkgBZQMEASoEEC8y7opCBEs58e+eUSw9wUQEgZCW\n"                                     \
    "L0knLifwRnoORsjSVne+I4olEjjtSk2ZIO222wy7dldwECGPi3yT4MENFsz8hMvo\n"                                     \
    "LF3Emd+8zHpolSL779ztlL8laZTE9x8Lf+OV/omN+0o11p/eFsftfTti2O5I1uSz\n"                                     \
    "BOHuv/YYZjNPYosWhoFu3LwEBJZ9/woOJ4xf4fHyFEMAbvldLtjOv9ky08n4PH0=\n"                                     \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

/* openssl pkcs8 -topk8 -scrypt */
#define KEY_FORM_PBES2_SCRYPT                                                                                \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAiON0GZy/Wr5gICBAAC\n"                                     \
    "AQgCAQEwHQYJYIZIAWUDBAEqBBAx4NanKz98E8O6QfjS3IPfBIGQssBBmq/Onsn5\n"                                     \
    "cNuNZdQQKR5aO+tNhTZ1A1z510y1/3P7FRljfyAl0KVM2ZiO9YW0Xf1Abv9PeZ6J\n"                                     \
    "Izqy7ZRQwru/YDOx35Us34fUqBJQsFIpB0tySdMQUuCcLtKzxaaDOTirRmE1Dza/\n"                                     \
    "vIh2yhpH07DAFqOVhAebWTOfCCIq/xCNd1Zn5IPn6k+Gyl8mZue1\n"                                                 \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

/* openssl pkcs8 -topk8 -v2 aes-256-ofb */
#define KEY_FORM_PBES2_OFB                                                                                   \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIHmMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiqd1hNfqWCuAICCAAw\n"                                     \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASsEEOQNp9cfLoVYx+XoCr4HYzMEgYqP\n"                                     \
    "kIh7CaWG3ITQSMh0AX+NI8aXnu+by74bTipC2WVsm9NCj1youVwQuY35an/4Kcif\n"                                     \
    "nl365ZxfrXubj7bqNJFMkys7baLeyhZmGGw+8M5TrRxdibz8wHkgbeWERO+Liqu/\n"                                     \
    "RBg002i97xWU0q1Id9L+zBjmkzIbc76dwpuKOpbOdQqhL9YdfnSjq8w=\n"                                             \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

/* openssl ec -camellia256 */
#define KEY_FORM_DEK_INFO_CAMELLIA                                                                           \
    "-----BEGIN EC PRIVATE KEY-----\n"                                                                       \
    "Proc-Type: 4,ENCRYPTED\n"                                                                               \
    "DEK-Info: CAMELLIA-256-CBC,DC808FC8340B04C87616DBBAB72515E9\n"                                          \
    "\n"                                                                                                     \
    "q0RjgAQrEKNLSottsh8NyqqDzKMRuUkBgRLx9oGNfMb+CxiCnae+c1qjJPZzl5d0\n"                                     \
    "LZnUz/kr/br554J8MSJuOTANf2LKm9E3KD3iPD0GixJNageI3dlPLIN3PB7N6Sy2\n"                                     \
    "S5umEyHAM3DnVlaJvMLJG2x6DdSuzGipAyzHkyGdBZ0=\n"                                                         \
    "-----END EC PRIVATE KEY-----\n"

#endif
