def system_busy():
    return False


from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.runtime.models import PingStatus

app = BedrockAgentCoreApp()

# Global state to track custom conditions
processing_data = False

@app.ping
def custom_status():
    """Custom ping handler with your own logic"""
    if processing_data or system_busy():
        return PingStatus.HEALTHY_BUSY
    return PingStatus.HEALTHY

@app.entrypoint
def handler(event):
    global processing_data

    if event.get("action") == "start_processing":
        processing_data = True
        # Start your processing...
        return {"status": "Processing started"}

    return {"status": "Ready"}

if __name__ == "__main__":
    app.run()
