# Laid over the example's provider: everything goes to the emulator. PORT is put in when it listens.

provider "aws" {
  # What the emulator does not know is an error at once.
  max_retries = 2

  skip_credentials_validation = true
  skip_requesting_account_id  = false
  skip_metadata_api_check     = true
  s3_force_path_style         = true
  endpoints {
    apigateway       = "http://127.0.0.1:PORT"
    autoscaling      = "http://127.0.0.1:PORT"
    budgets          = "http://127.0.0.1:PORT"
    cloudwatch       = "http://127.0.0.1:PORT"
    cloudwatchevents = "http://127.0.0.1:PORT"
    cloudwatchlogs   = "http://127.0.0.1:PORT"
    dynamodb         = "http://127.0.0.1:PORT"
    ec2              = "http://127.0.0.1:PORT"
    iam              = "http://127.0.0.1:PORT"
    kms              = "http://127.0.0.1:PORT"
    lambda           = "http://127.0.0.1:PORT"
    s3               = "http://127.0.0.1:PORT"
    sns              = "http://127.0.0.1:PORT"
    sqs              = "http://127.0.0.1:PORT"
    ssm              = "http://127.0.0.1:PORT"
    sts              = "http://127.0.0.1:PORT"
  }
}
